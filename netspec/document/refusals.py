"""The words for YAML that is well formed but is not plain data: duplicate keys, tags, anchors, merge keys, odd keys."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from netspec.document.scalars import shorten
from netspec.errors import Diagnostic, Label, Span, SpecPath, path_text

ALIASES_SHOWN: Final = 3


@dataclass(slots=True)
class Anchor:
    """Where one anchor was defined and used: one finding, however often it is used."""

    path: SpecPath
    defined: Span | None = None
    used: list[Span] = field(default_factory=list)
    uses: int = 0


def duplicate(name: str, first: Span, second: Span, path: SpecPath) -> Diagnostic:
    """NS002: one key twice in a mapping."""
    return Diagnostic(
        "NS002",
        f"duplicate key `{name}`",
        second,
        "given a second time here",
        labels=(Label(first, "first given here"),),
        path=path_text(path),
    )


def tag(name: str, span: Span, path: SpecPath) -> Diagnostic:
    """NS004: a tag, which would construct an object."""
    return Diagnostic(
        "NS004",
        f"tag `{shorten(name, 80)}` is not allowed",
        span,
        "a spec is data, it cannot construct objects",
        path=path_text(path),
    )


def anchor(name: str, found: Anchor) -> Diagnostic:
    """NS003: an anchor with its aliases, or an alias without one."""
    kind, spans = ("anchor `&", found.used) if found.defined else ("alias `*", found.used[1:])
    return Diagnostic(
        "NS003",
        f"{kind}{shorten(name)}` is not allowed",
        found.defined or found.used[0],
        "a value stands where it is written",
        labels=tuple(Label(span, "used here") for span in spans),
        notes=(f"used {found.uses:,} times",) if found.uses > ALIASES_SHOWN else (),
        help=("write the value out; share it through `extends`, `variants` or the settings above the levels",),
        path=path_text(found.path),
    )


def merge(span: Span, path: SpecPath) -> Diagnostic:
    """NS005: YAML 1.1's merge key."""
    return Diagnostic(
        "NS005",
        "merge key `<<` is not allowed",
        span,
        "mappings do not merge inside a file",
        help=("write the keys out, or put them in a file of their own and name it with `extends`",),
        path=path_text(path),
    )


def not_a_word(name: str, what: str, span: Span, path: SpecPath) -> Diagnostic:
    """NS011: a key that is a number, empty or a collection (`name` is then empty)."""
    return Diagnostic(
        "NS011",
        f"key `{shorten(name)}` is not a word" if name else "a key is not a word",
        span,
        what,
        help=(f'if it is meant as a word, quote it: "{shorten(name)}"' if name else "write a word before the `:`",),
        path=path_text(path),
    )


def long_key(name: str, span: Span, path: SpecPath) -> Diagnostic:
    """NS011: a key that is longer than any word."""
    return Diagnostic(
        "NS011",
        f"key `{shorten(name)}` is not a word",
        span,
        f"{len(name):,} characters long",
        help=("check the quotes and the `:` around it",),
        path=path_text(path),
    )
