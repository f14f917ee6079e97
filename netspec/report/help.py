"""What a key means, in the schema's words: the way from the top of a spec to each of its values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from netspec.validation.verdict import Verdict, compiled

Node: TypeAlias = Mapping[str, Any]


class Help:
    """Reads a schema beside a valid, resolved spec."""

    def __init__(self, schema: Node) -> None:
        self.schema = schema
        self._tests: dict[int, Verdict] = {}

    def top(self, data: Any) -> tuple[Node, ...]:
        """Every part of the schema that speaks of a whole spec."""
        return tuple(self._forms(self.schema, data))

    def child(self, forms: Sequence[Node], key: str | int, value: Any) -> tuple[Node, ...]:
        """Every part that speaks of the value of one key or item, what is said of the key first."""
        found: list[Node] = []
        for form in forms:
            inside = form.get("items") if isinstance(key, int) else form.get("properties", {}).get(key)
            if inside is None and isinstance(key, str):
                inside = form.get("additionalProperties")
            if isinstance(inside, Mapping):
                found += self._forms(inside, value)
        return tuple(found)

    def _forms(self, node: Node, value: Any) -> Iterator[Node]:
        """A schema and all that it refers to, of which a condition holds for this value."""
        yield node
        if "$ref" in node:
            yield from self._forms(self.schema["$defs"][node["$ref"].removeprefix("#/$defs/")], value)
        for rule in node.get("allOf", ()):
            if "if" not in rule:
                yield from self._forms(rule, value)
            elif self._holds(rule["if"], value):
                yield from self._forms(rule["then"], value)

    def _holds(self, test: Node, value: Any) -> bool:
        if id(test) not in self._tests:
            self._tests[id(test)] = compiled(test)
        return self._tests[id(test)](value)


def meaning(forms: Sequence[Node]) -> str:
    """What is said of a key: the first description, which is the key's own."""
    return next((str(form["description"]) for form in forms if "description" in form), "")


def word(forms: Sequence[Node], value: Any) -> str:
    """What is said of a word among others: `group` of the kinds of norm."""
    for form in forms:
        if "enumDescriptions" in form and value in form.get("enum", ()):
            return str(form["enumDescriptions"][form["enum"].index(value)])
    return ""
