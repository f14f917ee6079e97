"""compiled(): a JSON Schema → a function that says yes or no, for sweeps that check thousands of variants.

A sieve in front of jsonschema, which costs 0.1 s to import and milliseconds a spec: what passes here is valid, what
does not goes to jsonschema for its reasons. It knows the keywords that schema.py writes, refuses to compile any
other, and a test holds its verdicts against jsonschema's.
"""

# ruff: noqa: C419  # all([…]) is twice as fast as a generator for the handful of items that these have

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sized
from typing import Any, Final, TypeAlias

from netspec.errors import Diagnostic, InvariantError

Verdict: TypeAlias = Callable[[Any], bool]
Node: TypeAlias = Mapping[str, Any]


def is_integer(value: Any) -> bool:
    """A whole number as YAML writes it: `1000` and never `1e3`, which JSON Schema would let pass."""
    return type(value) is int


def is_number(value: Any) -> bool:
    """A number that arithmetic can use: no boolean, no infinity."""
    return type(value) is int or (type(value) is float and math.isfinite(value))


TYPES: Final[dict[str, Verdict]] = {
    "integer": is_integer,
    "number": is_number,
    "boolean": lambda value: type(value) is bool,
    "string": lambda value: type(value) is str,
    "array": lambda value: type(value) is list,
    "object": lambda value: type(value) is dict,
}
_ANNOTATIONS = frozenset(
    ("$schema", "$id", "$defs", "title", "description", "markdownDescription", "default", "examples",
     "enumDescriptions", "then", "else")
)  # fmt: skip  # then and else are read by if


def compiled(schema: Node) -> Verdict:
    """The verdict function of a schema.

    Raises InvariantError (NS990) for a keyword that it does not know.
    """
    return _Compiler(schema).node(schema)


class _Compiler:
    def __init__(self, root: Node) -> None:
        self._defs: Mapping[str, Node] = root.get("$defs", {})
        self._done: dict[str, Verdict] = {}

    def node(self, schema: Node | bool) -> Verdict:
        if isinstance(schema, bool):
            return lambda value: schema
        rules = []
        for word, argument in schema.items():
            if word in _ANNOTATIONS or word.startswith("x-"):
                continue
            if (keyword := _KEYWORDS.get(word)) is None:
                raise InvariantError(Diagnostic("NS990", f"the schema uses `{word}`, which verdict.py does not know"))
            rules.append(keyword(self, argument, schema))
        if len(rules) == 1:
            return rules[0]
        return lambda value: all([rule(value) for rule in rules])

    def reference(self, target: str) -> Verdict:
        name = target.removeprefix("#/$defs/")

        def follow(value: Any) -> bool:
            if name not in self._done:  # compiled at first use: a record may hold itself
                self._done[name] = self.node(self._defs[name])
            return self._done[name](value)

        return follow


def _type(_: _Compiler, names: str | list[str], __: Node) -> Verdict:
    if isinstance(names, str):
        return TYPES[names]
    tests = [TYPES[name] for name in names]
    return lambda value: any([test(value) for test in tests])


def _same(given: Any, value: Any) -> bool:
    return bool(type(given) is type(value) and given == value)


def _properties(c: _Compiler, properties: Mapping[str, Node], schema: Node) -> Verdict:
    rules = {name: c.node(node) for name, node in properties.items()}
    return lambda value: (
        type(value) is not dict or all([rules[key](item) for key, item in value.items() if key in rules])
    )


def _additional(c: _Compiler, rule: Node | bool, schema: Node) -> Verdict:
    known, check = frozenset(schema.get("properties", ())), c.node(rule)
    return lambda value: type(value) is not dict or all([check(value[key]) for key in value if key not in known])


def _names(c: _Compiler, rule: Node, _: Node) -> Verdict:
    check = c.node(rule)
    return lambda value: type(value) is not dict or all([check(key) for key in value])


def _items(c: _Compiler, rule: Node, _: Node) -> Verdict:
    check = c.node(rule)
    return lambda value: type(value) is not list or all([check(item) for item in value])


def _if(c: _Compiler, test: Node, schema: Node) -> Verdict:
    check, then, other = c.node(test), c.node(schema.get("then", True)), c.node(schema.get("else", True))
    return lambda value: then(value) if check(value) else other(value)


def _not(c: _Compiler, rule: Node, _: Node) -> Verdict:
    check = c.node(rule)
    return lambda value: not check(value)


def _all(c: _Compiler, rules: list[Node], _: Node) -> Verdict:
    checks = [c.node(rule) for rule in rules]
    return lambda value: all([check(value) for check in checks])


def _pattern(_: _Compiler, pattern: str, __: Node) -> Verdict:
    search = re.compile(pattern).search
    return lambda value: type(value) is not str or search(value) is not None


def _number(test: Callable[[Any, Any], bool]) -> Callable[[_Compiler, Any, Node], Verdict]:
    return lambda _, bound, __: lambda value: not is_number(value) or test(value, bound)


def _sized(kind: type[Sized], test: Callable[[int, int], bool]) -> Callable[[_Compiler, Any, Node], Verdict]:
    return lambda _, bound, __: lambda value: type(value) is not kind or test(len(value), bound)


def _required(_: _Compiler, names: list[str], __: Node) -> Verdict:
    return lambda value: type(value) is not dict or all([name in value for name in names])


_KEYWORDS: dict[str, Callable[[_Compiler, Any, Node], Verdict]] = {
    "$ref": lambda c, target, _: c.reference(target),
    "type": _type,
    "enum": lambda _, given, __: lambda value: any([_same(each, value) for each in given]),
    "const": lambda _, given, __: lambda value: _same(given, value),
    "minimum": _number(lambda value, bound: value >= bound),
    "maximum": _number(lambda value, bound: value <= bound),
    "exclusiveMinimum": _number(lambda value, bound: value > bound),
    "multipleOf": _number(lambda value, bound: value % bound == 0),
    "pattern": _pattern,
    "minLength": _sized(str, lambda size, bound: size >= bound),
    "minItems": _sized(list, lambda size, bound: size >= bound),
    "maxItems": _sized(list, lambda size, bound: size <= bound),
    "maxProperties": _sized(dict, lambda size, bound: size <= bound),
    "minProperties": _sized(dict, lambda size, bound: size >= bound),
    "required": _required,
    "properties": _properties,
    "additionalProperties": _additional,
    "propertyNames": _names,
    "items": _items,
    "if": _if,
    "not": _not,
    "allOf": _all,
}
