"""Words for a value that is wrong: its type, its range, a name or word that does not exist."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from netspec import registry
from netspec.document import Document, parse_scalar
from netspec.errors import Diagnostic, DocumentError, SpecPath, path_text
from netspec.schema import NONE, in_words
from netspec.validation.locating import key_span, owner_span, value_span, written
from netspec.validation.suggestions import listed, nearest_name

Node = Mapping[str, Any]

_SWITCH_WORDS = {"yes": "true", "on": "true", "y": "true", "no": "false", "off": "false", "n": "false"}
_EXPRESSION = re.compile(r"[$*/+()]|\d\s*-\s*\d")
_BOUND_WORDS = {
    "minimum": "at least {}",
    "maximum": "at most {}",
    "exclusiveMinimum": "greater than {}",
    "multipleOf": "a multiple of {}",
}


@dataclass(frozen=True, slots=True)
class Violation:
    """One keyword of the schema that a value breaks: the keyword and its argument, the value and its path, the
    keyword's siblings, and what the value's key is for."""

    keyword: str
    argument: Any
    value: Any
    path: SpecPath
    rules: Node
    about: str = ""


def bad_name(document: Document, v: Violation) -> Diagnostic:
    """For a key that may not name what it names. `v.path` is the mapping's, `v.value` the key."""
    rules = v.rules if "x-name" in v.rules else {}
    key = v.value
    reserved = v.keyword == "not"
    return Diagnostic(
        "NS107",
        f"`{key}` cannot name {rules.get('x-name', 'this')}",
        key_span(document, (*v.path, key)),
        "a reserved word" if reserved else f"use {rules.get('x-expected', 'another name')}",
        help=(f"for example `{key}_`" if key.isidentifier() and key != "self" else "for example `x`",)
        if reserved
        else (),
        path=path_text((*v.path, key)),
    )


def _wrong_type(document: Document, v: Violation) -> Diagnostic:
    return _unexpected(document, v, _expected(v.rules))


def _expected(rules: Node) -> str:
    if "x-expected" in rules:
        return str(rules["x-expected"])
    kind = rules.get("type", "string")
    return in_words([kind], {kind: rules}) if kind != "string" or "enum" in rules else "a text"


def _unexpected(document: Document, v: Violation, expected: str) -> Diagnostic:
    value = v.value
    raw = written(document, v.path)
    return Diagnostic(
        "NS102",
        f"expected {expected}, found {_found(value, raw)}",
        value_span(document, v.path),
        f"`{_key(v.path)}`: {v.about}" if v.about else "",
        help=tuple(_hints(value, raw, expected, v)),
        path=path_text(v.path),
    )


def _found(value: Any, raw: str) -> str:
    match value:
        case None:
            return "nothing" if raw == "" else f"`{raw}`"
        case bool():
            return f"`{str(value).lower()}`"
        case int() | float():
            return f"the number `{raw or value}`"
        case str():
            kind = "quoted number" if _number(value) is not None else "word" if value.isidentifier() else "text"
            return f"the {kind} `{raw if raw and len(raw) < 60 else value[:60]}`"
        case list():
            return "a list"
        case _:
            return "a mapping"


def _hints(value: Any, raw: str, expected: str, v: Violation) -> Iterator[str]:
    may_be_off = f"`{NONE}`" in expected or NONE in _strings(v.rules)
    number = _number(value) if isinstance(value, str) else None
    if value is None or value is False:
        if may_be_off:
            yield f"write `{NONE}` to switch it off"
        elif value is None:
            yield "give it a value, or leave the key out"
    elif value is True and "the name of" in expected:
        yield "write a name, which `netspec list` shows, or leave the key out for the default"
    elif isinstance(value, list) and v.path[0] in ("unet", "autoencoder") and "number" in expected:
        yield "one value holds for all; what differs from level to level is written in the rows of `levels`"
    elif number is not None and ("number" in expected):
        yield f"write {number} without the quotes"
    elif isinstance(value, str) and "`true`" in expected and value.lower() in _SWITCH_WORDS:
        yield f"write `{_SWITCH_WORDS[value.lower()]}`: a spec knows only true and false"
    elif isinstance(value, str) and value.lower() in ("off", "no", "null", "false") and may_be_off:
        yield f"write `{NONE}` to switch it off"
    elif isinstance(value, str) and "number" in expected and _EXPRESSION.search(value):
        yield "a spec is data and computes nothing: write the result"
    elif type(value) is float and "a whole number" in expected and value.is_integer():
        yield f"write {int(value)}"
    elif type(value) in (int, float) and expected in ("a text", "a word"):
        yield f'quote it: "{raw or value}"'


def _strings(rules: Node) -> list[str]:
    branches = (rule["then"] for rule in rules.get("allOf", ()) if rule.get("if") == {"type": "string"})
    return [word for branch in branches for word in branch.get("enum", ())]


def _number(text: str) -> int | float | None:
    try:
        value = parse_scalar(text.strip()) if text.strip() else None
    except DocumentError:
        return None
    return value if type(value) in (int, float) else None  # type: ignore[return-value]  # narrowed by the test


def _not_allowed(document: Document, v: Violation) -> Diagnostic:
    """A value outside an enumeration: a component that does not exist, a closed word, or not a word at all."""
    rules, value = v.rules, v.value
    words = list(v.argument)
    if not isinstance(value, str):
        return _unexpected(document, v, _expected({"x-expected": "a word", **rules}))
    if words == [NONE] or _number(value) is not None:
        return _unexpected(document, v, _expected({"x-expected": "a word", **rules}))
    if needs := rules.get("x-needs", {}).get(value):
        return Diagnostic(
            "NS104",
            f"missing key `{needs[0]}`",
            value_span(document, v.path),
            f"`{value}` needs {listed(needs)}",
            help=(f"write {{{_tag(rules['x-kind'])}: {value}, {needs[0]}: …}}",),
            path=path_text((*v.path, needs[0])),
        )
    kind = rules.get("x-kind")
    known = [*words, *rules.get("x-needs", ())]
    meant = nearest_name(value, known)
    choices = f"{kind} is one of {listed(sorted(known))}" if kind else f"one of {listed(known)}"
    return Diagnostic(
        "NS201" if kind else "NS105",
        f"unknown {kind} `{value}`" if kind else f"`{_key(v.path)}` cannot be `{value}`",
        value_span(document, v.path),
        f"did you mean `{meant}`?" if meant else "" if kind else f"must be {choices}",
        help=(choices,) if kind else (f"must be {choices}",) if meant else (),
        path=path_text(v.path),
    )


def _tag(kind: str) -> str:
    return registry.kinds()[kind].tag


def _out_of_range(document: Document, v: Violation) -> Diagnostic:
    bound = _BOUND_WORDS[v.keyword].format(v.argument)
    return Diagnostic(
        "NS103",
        f"`{_key(v.path)}` must be {bound}, it is {written(document, v.path) or v.value}",
        value_span(document, v.path),
        v.about or f"must be {bound}",
        path=path_text(v.path),
    )


def _too_short(document: Document, v: Violation) -> Diagnostic:
    what = {"minItems": "an empty list", "minProperties": "an empty mapping", "minLength": "an empty text"}
    return Diagnostic(
        "NS103",
        f"`{_key(v.path)}` is {what[v.keyword]}",
        value_span(document, v.path),
        v.about or "must hold something",
        path=path_text(v.path),
    )


def too_many(document: Document, path: SpecPath, count: int, most: int) -> Diagnostic:
    """For a list or mapping of absurd length."""
    return Diagnostic(
        "NS103",
        f"`{path_text(path) or 'the spec'}` has {count:,} entries",
        owner_span(document, path),
        f"at most {most}",
        path=path_text(path),
    )


def _too_long(document: Document, v: Violation) -> Diagnostic:
    return too_many(document, v.path, len(v.value), v.argument)


def _bad_text(document: Document, v: Violation) -> Diagnostic:
    number = _number(v.value)
    if number is not None and "number" in _expected(v.rules):
        return _unexpected(document, v, _expected(v.rules))
    return Diagnostic(
        "NS107",
        f"`{v.value[:60]}` cannot be `{_key(v.path)}`" if len(v.path) < 3 else f"`{v.value[:60]}` is no name",
        value_span(document, v.path),
        f"use {_expected(v.rules)}",
        path=path_text(v.path),
    )


def _bad_const(document: Document, v: Violation) -> Diagnostic:
    version = v.path == ("netspec",)
    return Diagnostic(
        "NS105",
        f"unknown format version {v.value}" if version else f"`{_key(v.path)}` cannot be `{v.value}`",
        value_span(document, v.path),
        f"this netspec reads version {v.argument}" if version else f"must be `{v.argument}`",
        path=path_text(v.path),
    )


def _other(document: Document, v: Violation) -> Diagnostic:
    return Diagnostic("NS102", f"`{v.keyword}` does not hold", value_span(document, v.path), path=path_text(v.path))


def _key(path: SpecPath) -> str:
    """The last name of a path, with the indices behind it: `levels[2]`."""
    start = max((i for i, part in enumerate(path) if isinstance(part, str)), default=0)
    return path_text(path[start:])


def bad_value(document: Document, v: Violation) -> Diagnostic:
    """For a value that breaks a rule."""
    return _RULES.get(v.keyword, _other)(document, v)


_RULES: dict[str, Callable[[Document, Violation], Diagnostic]] = {
    "type": _wrong_type,
    "enum": _not_allowed,
    "const": _bad_const,
    "pattern": _bad_text,
    "minItems": _too_short,
    "maxItems": _too_long,
    "maxProperties": _too_long,
    "minProperties": _too_short,
    "minLength": _too_short,
    **dict.fromkeys(_BOUND_WORDS, _out_of_range),
}
