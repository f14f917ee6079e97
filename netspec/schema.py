"""emit(): the registry → JSON Schema 2020-12 of a whole spec file.

Written so that every violation is a leaf error with an exact path: what a value may be is told apart by its type
(`if: {type: string}`) and components by name (`if: {properties: {type: {const: rms}}}`), never by `oneOf`.

    $defs:  size, shape, dim_range   hand-written, schema_root.py's
            unet.Level, norm.rms     a record, a component: its keys, nothing required
            norm, norm-or-none       a slot: name | settings | shorthand; `required` stands where a def is used

`x-` keys are for validation.py's words: `x-expected`, `x-kind` (a component's kind),
`x-needs` (names that cannot stand alone, and what they need), `x-name` (what a key names).
`python -m netspec.schema` writes the committed file again.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterable, Mapping
from dataclasses import MISSING
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeAlias

from netspec import document, examples, registry, schema_root
from netspec.fields import Choice, Either, Field, FieldType, ListOf, Optional, RecordOf, Scalar, Slot, Words
from netspec.registry import Component, Record

Node: TypeAlias = dict[str, Any]

PATH: Final = Path(__file__).with_name("netspec.schema.json")
NONE: Final = "none"

_JSON_TYPES = {int: "integer", float: "number", bool: "boolean", str: "string"}
_BOUNDS = {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum", "multiple_of": "multipleOf"}
_IN_WORDS = {
    "integer": "a whole number",
    "number": "a number",
    "boolean": "`true` or `false`",
    "array": "a list",
    "object": "a mapping",
}
_ORDER = ("integer", "number", "boolean", "array", "object", "string")  # as a sentence lists them: `none` last


def emit() -> Node:
    """The schema of everything that is registered now."""
    families = registry.named("family")
    emitter = _Emitter()
    properties = {
        name: {"$ref": emitter.record(cls), "description": _first_line(cls)} for name, cls in sorted(families.items())
    }
    required = {name: {"required": needs} for name, cls in sorted(families.items()) if (needs := _required(cls))}
    embed = emitter.slot(registry.kinds()["embed"])
    return schema_root.document(properties, required, embed, dict(sorted(emitter.defs.items())))


def current() -> Node:
    """The schema that specs of this process are held to: the committed one, or a fresh one where other packages
    have registered components. Shared and cached: do not change it."""
    return _current(registry.load_all(), len(registry.everything()))


@cache
def _current(plugins: bool, count: int) -> Node:
    # `count` in the key: a component declared in a notebook after the first call is seen by the second.
    if plugins or any(not cls.__module__.startswith("netspec.") for cls in registry.everything()):
        return emit()
    schema: Node = json.loads(PATH.read_text("utf-8"))
    return schema


def text(schema: Node | None = None) -> str:
    """A schema (without one, the current one) as it is published."""
    return json.dumps(current() if schema is None else schema, indent=1, ensure_ascii=False) + "\n"


class _Emitter:
    """Collects the definitions that one schema needs, each once."""

    def __init__(self) -> None:
        self.defs: dict[str, Node] = {}

    def record(self, cls: type[Record]) -> str:
        """The reference of a record's or component's keys; nothing in it is required."""
        name = def_name(cls)
        if name not in self.defs:
            self.defs[name] = {}  # taken, should a record ever hold itself
            properties = {
                field.name: {**self.field(field), "examples": [registry.dump(examples.given(cls, field))]}
                for field in registry.declared(cls).values()
            }
            node: Node = {"title": name, "description": _first_line(cls), "markdownDescription": inspect.getdoc(cls)}
            if issubclass(cls, Component):
                if cls.tag:
                    tag = {"const": cls.name, "description": f"which {cls.kind}"}
                    properties = {cls.tag: tag, **properties}
                if cls.example:
                    node["examples"] = [document.loads(f"example: {cls.example}").data["example"]]
            self.defs[name] = {**node, "type": "object", "properties": properties, "additionalProperties": False}
        return f"#/$defs/{name}"

    def field(self, field: Field) -> Node:
        node = {**self._node(field.type, field), "description": field.param.doc}
        return node if field.required else {**node, "default": _plain(field.default, field.type)}

    def slot(self, base: type[Component], field: Field | None = None, *, optional: bool = False) -> str:
        """The reference of what may stand where a component of one kind is wanted."""
        usual = registry.usual_name(base, field.default if field else MISSING)
        shared = bool(field and field.param.inherits)
        marks = [usual] if usual != base.usual else []
        marks += ["shared"] if shared else []
        marks += _settled(field) if not shared else []
        name = "-".join([base.kind, *marks, *(["or-none"] if optional else [])])
        if name not in self.defs:
            self.defs[name] = {}
            found = self._slot_alternatives(base, usual, field)
            if optional:
                found["string"] = _or_none(found["string"])
            self.defs[name] = {"title": f"{base.kind}", "description": _first_line(base), **_combined(found)}
        return f"#/$defs/{name}"

    def _node(self, kind: FieldType, field: Field) -> Node:
        match kind:
            case Slot(base):
                return {"$ref": self.slot(base, field)}
            case Optional(item=Slot(base)):
                return {"$ref": self.slot(base, field, optional=True)}
            case _:
                return _combined(self._alternatives(kind, field))

    def _alternatives(self, kind: FieldType, field: Field) -> dict[str, Node]:
        """JSON type → what a value of that type must be; types are what tells the forms of a value apart."""
        match kind:
            case Optional(item):
                found = self._alternatives(item, field)
                return {**found, "string": _or_none(found.get("string"))}
            case Scalar(type=t):
                return {_JSON_TYPES[t]: _bounds(field) if t in (int, float) else {}}
            case Words(words):
                told = [field.param.words.get(word, "") for word in words]
                return {"string": {"enum": list(words), **({"enumDescriptions": told} if any(told) else {})}}
            case ListOf(item):
                empty = {} if field.default == () else {"minItems": 1}
                return {"array": {"items": self._node(item, field), **empty, "maxItems": schema_root.LONGEST_LIST}}
            case Either(items):
                return {name: node for item in items for name, node in self._alternatives(item, field).items()}
            case RecordOf(record):
                return self._record_alternatives(record, field)
            case Slot(base):
                usual = registry.usual_name(base, field.default)
                return self._slot_alternatives(base, usual, field)

    def _record_alternatives(self, record: type[Record], field: Field) -> dict[str, Node]:
        needs = [] if field.param.inherits else _required(record, field)
        found: dict[str, Node] = {}
        if record.shorthand:
            short = registry.declared(record)[record.shorthand]
            found = self._alternatives(_certain(short.type), short)
        return {**found, "object": {"$ref": self.record(record), **({"required": needs} if needs else {})}}

    def _slot_alternatives(self, base: type[Component], usual: str, field: Field | None) -> dict[str, Node]:
        components = dict(sorted(registry.named(base.kind).items()))
        # A default's own settings hold wherever its name is written, so what they say is not asked for again.
        needs = {n: [] if field and field.param.inherits else _required(c, field, n) for n, c in components.items()}
        names: Node = {
            "enum": list(components),
            "enumDescriptions": [_first_line(cls) for cls in components.values()],
            "x-kind": base.kind,
        }
        bare: Node = {**names, "enum": [name for name in components if not needs[name]]}
        bare["enumDescriptions"] = [_first_line(components[name]) for name in bare["enum"]]
        if len(bare["enum"]) < len(components):
            bare["x-needs"] = {name: needs[name] for name in components if needs[name]}
        found: dict[str, Node] = {"string": bare}
        if (chosen := components.get(usual)) and chosen.shorthand:
            short = registry.declared(chosen)[chosen.shorthand]
            found |= {t: n for t, n in self._alternatives(_certain(short.type), short).items() if t != "string"}
        rules = [
            _when({"properties": {base.tag: {"const": n}}, "required": [base.tag]}, self._use(c, needs[n]))
            for n, c in components.items()
        ]
        rules.append(_when({"not": {"required": [base.tag]}}, self._untagged(base, usual, needs, field)))
        tag = {**names, "description": f"which {base.kind}"} | ({"default": usual} if usual else {})
        return {**found, "object": {"properties": {base.tag: tag}, "allOf": rules}}

    def _use(self, cls: type[Record], needs: list[str]) -> Node:
        return {"$ref": self.record(cls), **({"required": needs} if needs else {})}

    def _untagged(self, base: type[Component], usual: str, needs: Mapping[str, list[str]], field: Field | None) -> Node:
        """Settings without a name belong to the default component; shared ones to whichever the family names."""
        components = registry.named(base.kind)
        if not (field and field.param.inherits) or len(components) == 1:
            return self._use(components[usual], needs[usual]) if usual in components else {"required": [base.tag]}
        merged: dict[str, Node] = {}
        shown: dict[str, Any] = {}
        for cls in components.values():
            for name, each in registry.declared(cls).items():
                node = self.field(each)
                # Where components disagree, relations.py asks the one that is named.
                merged[name] = node if merged.get(name, node) == node else {"description": each.param.doc}
                shown.setdefault(name, registry.dump(examples.given(cls, each)))
        properties = {name: {**node, "examples": [shown[name]]} for name, node in sorted(merged.items())}
        return {"properties": properties, "additionalProperties": False}


def _combined(alternatives: Mapping[str, Node]) -> Node:
    ordered = [name for name in _ORDER if name in alternatives]
    if len(ordered) == 1:
        node = alternatives[ordered[0]]
        return node if "$ref" in node else {"type": ordered[0], **node}
    expected = in_words(ordered, alternatives)
    node = {"type": ordered, "x-expected": expected}
    rules = []
    for name in ordered:
        each = alternatives[name]
        if name in ("integer", "number"):
            node |= each  # its keywords hold for numbers only
        elif each:
            rules.append(_when({"type": name}, {**each, "x-expected": expected} if name == "string" else each))
    return {**node, "allOf": rules} if rules else node


def in_words(types: Iterable[str], alternatives: Mapping[str, Mapping[str, Any]]) -> str:
    """`a whole number or `none``: what may stand somewhere, for a sentence."""
    parts = [_IN_WORDS.get(name) or _string_in_words(alternatives[name]) for name in types]
    return " or ".join([", ".join(parts[:-1]), parts[-1]]) if len(parts) > 1 else parts[0]


def _string_in_words(node: Mapping[str, Any]) -> str:
    if node.get("enum") == [NONE]:
        return f"`{NONE}`"
    return f"the name of a kind of {node['x-kind']}" if "x-kind" in node else "a word"


def _or_none(node: Node | None) -> Node:
    if node is None:
        return {"enum": [NONE], "enumDescriptions": ["not set, or switched off"]}
    if "enum" not in node or NONE in node["enum"]:
        return node
    return {**node, "enum": [*node["enum"], NONE]} | (
        {"enumDescriptions": [*node["enumDescriptions"], "switched off"]} if "enumDescriptions" in node else {}
    )


def _when(test: Node, then: Node) -> Node:
    return {"if": test, "then": then}


def _bounds(field: Field) -> Node:
    given = ((word, getattr(field.param, name)) for name, word in _BOUNDS.items())
    return {word: value for word, value in given if value is not None}


def _certain(kind: FieldType) -> FieldType:
    """`none` in a shorthand's place would say nothing."""
    return kind.item if isinstance(kind, Optional) else kind


def _settled(field: Field | None) -> list[str]:
    """The keys that a default's settings fill in, where its component asks for them."""
    if not (field and isinstance(field.default, Choice) and field.default.name and isinstance(_slot_of(field), Slot)):
        return []
    cls = registry.named(_slot_of(field).kind.kind)[field.default.name]
    return [name for name in _required(cls) if name in field.default.settings]


def _slot_of(field: Field) -> Any:
    return _certain(field.type)


def _required(cls: type[Record], field: Field | None = None, name: str = "") -> list[str]:
    default = field.default if field else None
    given = default.settings if isinstance(default, Choice) and default.name == name and name else {}
    return [each.name for each in registry.declared(cls).values() if each.required and each.name not in given]


def _plain(default: Any, kind: FieldType) -> Any:
    match default:
        case Choice(name, given) if name:
            tag = _certain(kind).kind.tag  # type: ignore[union-attr]  # a named default stands in a slot
            return {tag: name, **given} if given else name
        case Choice(settings=given):
            return dict(given)
        case _:
            return registry.dump(default)


def def_name(cls: type[Record]) -> str:
    """The name of a record's or component's definition: `unet.Level`, `norm.rms`."""
    if issubclass(cls, Component) and cls.name:
        return f"{cls.kind}.{cls.name}"
    return f"{cls.__module__.rpartition('.')[2]}.{cls.__name__}"


def _first_line(cls: type) -> str:
    return (inspect.getdoc(cls) or cls.__name__).partition("\n")[0]


if __name__ == "__main__":
    registry.load_all()
    PATH.write_text(text(emit()), "utf-8")
