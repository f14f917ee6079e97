"""Comments that are more than comments: `# netspec: allow NS801: reason`, at the end of a line or above one."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice
from typing import Final, TypeAlias

from netspec.document.composer import Composer, Place
from netspec.document.reader import Document
from netspec.errors import Source, Span, SpecPath

_ALLOW = re.compile(r"#\s*netspec:\s*allow\b(?P<codes>[^:\n]*)(?P<colon>:?)(?P<reason>.*)")
_CODE = re.compile(r"[^\s,]{1,32}")
MOST_ALLOWS: Final = 256  # in one file, more are not read: a spec that allows so much is hostile

Position: TypeAlias = tuple[int, int]  # line and column
Extent: TypeAlias = tuple[Position, Position]


@dataclass(frozen=True, slots=True)
class Allow:
    """One code that a comment allows. `about` is the line whose findings it is about."""

    code: str  # "" where the comment names none
    reason: str
    span: Span
    about: int


def allows(document: Document) -> Iterator[Allow]:
    """What the comments of all files allow that a document is made of."""
    sources = {id(place.value.source): place.value.source for place in document.places.values()}
    for source in sources.values():
        if "netspec:" in source.text and not source.name.startswith("--"):  # arguments have no comments
            yield from _allows(source.text, source.name)


def live(document: Document) -> Iterator[Allow]:
    """Those of lines that say something about the network, rather than about a variant of it."""
    found = tuple(allows(document))
    if not found:  # nearly always, and sweeps resolve thousands of specs
        return
    lines = {
        (span.source.name, span.line)
        for path, place in document.places.items()
        if path[:1] != ("variants",)
        for span in (place.key, place.value)
        if span is not None
    }
    yield from (each for each in found if (each.span.source.name, each.about) in lines)


@cache
def _allows(text: str, name: str) -> tuple[Allow, ...]:
    source = Source(name, text)
    composer = Composer(source, text)
    composer.read()
    scalars = sorted(_scalars(composer.places))
    found = (
        allow
        for number, line in enumerate(source.lines, 1)
        for comment in _ALLOW.finditer(line)
        if not _inside(scalars, (number, comment.start() + 1))
        for allow in _read(comment, source, number)
    )
    return tuple(islice(found, MOST_ALLOWS))


def _read(found: re.Match[str], source: Source, number: int) -> Iterator[Allow]:
    about = _next(source, number) if found.string.lstrip().startswith("#") else number
    reason = found["reason"].strip()
    codes = [(each[0], found.start("codes") + each.start()) for each in _CODE.finditer(found["codes"])]
    for code, start in codes or [("", found.start())]:
        length = len(code) or len(found[0].rstrip())
        yield Allow(code, reason, Span(source, number, start + 1, number, start + 1 + length), about)


def _next(source: Source, number: int) -> int:
    """The first line below that holds more than a comment."""
    for later, line in enumerate(source.lines[number:], number + 1):
        if line.strip() and not line.lstrip().startswith("#"):
            return later
    return number


def _scalars(places: Mapping[SpecPath, Place]) -> Iterator[Extent]:
    """The tokens of keys and of values that hold no others: a `#` inside them is a letter."""
    holders = {path[:-1] for path in places if path}
    for path, place in places.items():
        for span in (place.key, None if path in holders else place.value):
            if span is not None:
                yield (span.line, span.column), (span.end_line, span.end_column)


def _inside(scalars: Sequence[Extent], at: Position) -> bool:
    """Whether one of the tokens, which are in order and apart from each other, holds a position."""
    index = bisect_right(scalars, at, key=lambda extent: extent[0])
    return index > 0 and at < scalars[index - 1][1]
