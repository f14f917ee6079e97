"""Values as a person writes them in YAML, and what a key may hold as a sentence with links."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING
from typing import Any, TypeGuard

from netspec.fields import Choice, Either, Field, FieldType, ListOf, Optional, Param, RecordOf, Scalar, Slot, Words
from netspec.registry import Component, Record

_INDICATORS = re.compile(r"[:#\[\]{},&*!|>'\"%@`]")
_NUMERIC = re.compile(r"[-+.]?\d")
_SOURCE = re.compile(r"arXiv:(\d{4}\.\d{4,5})")

Page = Callable[[str], str]  # a kind of component → the address of its page


def flow(value: Any) -> str:
    """A value in YAML's flow style: `{type: group, eps: 1e-6}`."""
    match value:
        case None:
            return "none"
        case bool():
            return str(value).lower()
        case float():
            return number(value)
        case str():
            return f'"{value}"' if not value or _INDICATORS.search(value) or _NUMERIC.match(value) else value
        case Choice(name, given):
            return flow({"type": name, **given} if given else name)
        case Mapping():
            return "{" + ", ".join(f"{key}: {flow(item)}" for key, item in value.items()) + "}"
        case list() | tuple():
            return "[" + ", ".join(flow(item) for item in value) + "]"
        case _:
            return str(value)


def number(value: float) -> str:
    """`1e-6`, `0.5`, `4`."""
    mantissa, e, exponent = f"{value:.12g}".partition("e")
    return f"{mantissa}e{int(exponent)}" if e else mantissa


def code(text: str) -> str:
    """Text in Markdown's fixed-width type."""
    return f"`{text}`"


def listed(items: Iterable[str], last: str = "or") -> str:
    """`a`, `b` or `c`."""
    *head, tail = items
    return f"{', '.join(head)} {last} {tail}" if head else tail


def anchor(title: str) -> str:
    """The fragment that Markdown's usual renderers give a heading."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def linked(text: str) -> str:
    """Papers become links."""
    return _SOURCE.sub(r"[arXiv:\1](https://arxiv.org/abs/\1)", text)


def takes(field: Field, where: str, page: Page) -> str:
    """What a key may hold. `where` is the title of the section that the key stands in."""
    return _takes(field.type, field.param, f"{where}.{field.name}", page)


def has_section(record: type[Record]) -> TypeGuard[type[Component]]:
    """Whether a record is a component that a spec can name: it is described under its name."""
    return issubclass(record, Component) and bool(record.tag)


def _takes(kind: FieldType, param: Param, title: str, page: Page) -> str:
    match kind:
        case Optional(item):
            return f"{_takes(item, param, title, page)}, or `none`"
        case Scalar(type=t) if t is str:
            return f"the name of an {param.refers}" if param.refers else "a word"
        case Scalar(type=t) if t is bool:
            return "`true` or `false`"
        case Scalar(type=t):
            return ("a whole number" if t is int else "a number") + _bounds(param)
        case Words(words):
            return listed(code(word) for word in words)
        case ListOf(item):
            return f"a list of {_plural(item, param, title, page)}"
        case Either(items):
            return "; or ".join(_takes(item, param, title, page) for item in items)
        case RecordOf(record):
            if has_section(record):
                return f"settings of [{record.name}]({page(record.kind).partition('#')[0]}#{anchor(record.name)})"
            short = f"; a bare value is its `{record.shorthand}`" if record.shorthand else ""
            return f"[settings](#{anchor(title)}){short}"
        case Slot(base):
            article = "an" if base.kind[0] in "aeiou" else "a"
            return f"{article} [{base.kind}]({page(base.kind)})"


def _plural(kind: FieldType, param: Param, title: str, page: Page) -> str:
    match kind:
        case Scalar(type=t) if t is int:
            return "whole numbers" + _bounds(param)
        case Scalar(type=t) if t is float:
            return "numbers" + _bounds(param)
        case Scalar():
            return f"names of {param.refers}s" if param.refers else "words"
        case Words(words):
            return listed(code(word) for word in words)
        case RecordOf(record):
            short = f"; a bare value is its `{record.shorthand}`" if record.shorthand else ""
            return f"[settings](#{anchor(f'{title}[]')}){short}"
        case Slot(base):
            return f"[{base.kind}s]({page(base.kind)})"
        case _:
            return f"items, each {_takes(kind, param, title, page)}"


def _bounds(param: Param) -> str:
    given = (
        ("above", param.gt),
        ("at least", param.ge),
        ("at most", param.le),
        ("a multiple of", param.multiple_of),
    )
    return "".join(f", {word} {number(value)}" for word, value in given if value is not None)


def default(field: Field) -> str:
    """What holds where the key is left out, before conventions."""
    match field.default:
        case value if value is MISSING:
            return "must be given"
        case Choice(name, given) if not name:
            return f"on, {code(flow(given))}" if given else "on, with its defaults"
        case "":
            return "nothing"
        case value:
            return code(flow(value))
