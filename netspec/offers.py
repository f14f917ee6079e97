"""keys(), values(): what the schema offers at a place of a spec, as an editor shows it while somebody types.

Shell completion asks; the tests ask about every component, so that what an editor needs is there: a description, an
example or a default, words for every value.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from netspec.errors import SpecPath

Node: TypeAlias = Mapping[str, Any]

TAGS: Final = ("type", "embed")  # the keys that name a component
_TYPES: Final[Mapping[str, type | tuple[type, ...]]] = {
    "string": str,
    "object": dict,
    "array": list,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
}


@dataclass(frozen=True)
class Offer:
    """A key or a value that may stand somewhere, what it is, and everything that the schema says of it."""

    text: str
    about: str
    nodes: tuple[Node, ...] = ()


def keys(schema: Node, data: Any, path: SpecPath) -> list[Offer]:
    """The keys that may stand in the mapping at `path` of a spec, whatever is there already."""
    value = _mapping(_at(data, path))
    nodes = nodes_at(schema, data, path)
    found: dict[str, Offer] = {}
    for node in _spread(schema, nodes, value):
        for name, inner in node.get("properties", {}).items():
            if isinstance(inner, dict) and (inner or name not in found):
                said = tuple(_flat(schema, inner, None))
                found[name] = found.get(name) or Offer(name, _first(said, "description"), said)
    return list(found.values())


def values(schema: Node, data: Any, path: SpecPath) -> list[Offer]:
    """The words that may stand at `path`: those of an enumeration, and `true` and `false`."""
    found: dict[str, Offer] = {}
    for node in nodes_at(schema, data, path):
        for each in _spread(schema, _flat(schema, node, "word"), "word"):
            told = each.get("enumDescriptions", [])
            for index, word in enumerate(each.get("enum", [])):
                about = told[index] if index < len(told) else ""
                found.setdefault(str(word), Offer(str(word), about, (each,)))
        if "boolean" in _types(node):
            found |= {word: Offer(word, "") for word in ("true", "false")}
    return list(found.values())


def nodes_at(schema: Node, data: Any, path: SpecPath) -> list[Node]:
    """Every part of the schema that holds for the value at `path`."""
    nodes: list[Node] = list(_flat(schema, schema, _mapping(data)))
    value = data
    for part in path:
        holder = value if isinstance(value, list) else _mapping(value)
        nodes = [
            inner
            for node in _spread(schema, nodes, holder)
            for child in _children(node, part)
            for inner in _flat(schema, child, None)
        ]
        value = _at(value, (part,))
    return nodes


def _spread(schema: Node, nodes: Iterator[Node] | Sequence[Node], value: Any) -> Iterator[Node]:
    """The nodes again, with what their conditions add for a value of this kind."""
    for node in nodes:
        yield from _flat(schema, node, value)


def _flat(schema: Node, node: Node, value: Any) -> Iterator[Node]:
    """A node, what it refers to, and what its conditions add for `value`; nothing of those where that is None."""
    yield node
    if reference := node.get("$ref"):
        target: Any = schema
        for part in reference.removeprefix("#/").split("/"):
            target = target[part]
        yield from _flat(schema, target, value)
    for rule in node.get("allOf", ()):
        if "if" not in rule:
            yield from _flat(schema, rule, value)
        elif value is not None and holds(rule["if"], value):
            yield from _flat(schema, rule["then"], value)


def holds(test: Node, value: Any) -> bool:
    """Whether a value meets a condition of this schema: a type, the presence of keys, the value of one."""
    if "not" in test and holds(test["not"], value):
        return False
    if "type" in test and not isinstance(value, _TYPES[test["type"]]):
        return False
    if "required" in test and not (isinstance(value, dict) and all(key in value for key in test["required"])):
        return False
    known = test.get("properties", {})
    return all(value.get(key) == inner["const"] for key, inner in known.items() if key in value)


def _children(node: Node, part: str | int) -> Iterator[Node]:
    if isinstance(part, int):
        wanted: Any = node.get("items")
    else:
        wanted = node.get("properties", {}).get(part, node.get("additionalProperties"))
    if isinstance(wanted, dict):
        yield wanted


def _at(data: Any, path: SpecPath) -> Any:
    """The value at a path; None where nothing stands."""
    for part in path:
        if isinstance(data, list) and isinstance(part, int) and part < len(data):
            data = data[part]
        elif isinstance(data, dict) and isinstance(part, str):
            data = data.get(part)
        else:
            return None
    return data


def _mapping(value: Any) -> dict[str, Any]:
    """A value as the mapping that it is short for: a word is the name of a component."""
    match value:
        case dict():
            return value
        case str():
            return dict.fromkeys(TAGS, value)
        case _:
            return {}


def _types(node: Node) -> Sequence[str]:
    kind = node.get("type", ())
    return (kind,) if isinstance(kind, str) else kind


def _first(nodes: Sequence[Node], key: str) -> str:
    return str(next((node[key] for node in nodes if key in node), ""))
