"""A source line as a terminal can show it: harmless, aligned, and cut around the place that matters."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

from netspec.errors import Span

TAB = 4
_CUT = "…"
_UNSHOWN = "\ufffd"
_SEPARATORS = frozenset(("Zl", "Zp"))


@dataclass(frozen=True, slots=True)
class Snippet:
    """Text of one source line, and for each span asked for the first column to underline (from 0) and how many."""

    text: str
    marks: tuple[tuple[int, int], ...]


def harmless(text: str) -> str:
    """`text` without a character that could steer a terminal or reorder the line; every one is shown instead."""
    return text if text.isascii() and text.isprintable() else "".join(_shown(character)[0] for character in text)


def columns(text: str) -> int:
    """Columns that `text` takes on a terminal, once harmless."""
    return len(text) if text.isascii() else sum(_shown(character)[1] for character in text)


def snippets(line: str, spans: list[Span], limit: int) -> list[tuple[Snippet, list[int]]]:
    """`line` with the places of `spans`, each span inside it at least by its beginning.

    A line that fits `limit` columns comes once, with every span. A longer one is cut, and comes once for each span,
    with `…` where something was left out. Each snippet comes with the indices of its spans.
    """
    if len(line) <= limit:
        whole = _expand(line)
        if sum(whole[1]) <= limit:
            return [(Snippet(whole[0], tuple(_mark(whole, span, line) for span in spans)), list(range(len(spans))))]
    return [(_cut(line, span, limit), [index]) for index, span in enumerate(spans)]


def _cut(line: str, span: Span, limit: int) -> Snippet:
    """`limit` columns of `line` around the beginning of `span`."""
    begin = min(span.column - 1, len(line))
    # No character is looked at further away than can be shown: a line may have a million.
    left = begin
    room = limit // 3
    while left > max(0, begin - limit) and (wide := _shown(line[left - 1])[1]) <= room:
        left, room = left - 1, room - wide
    right, room = left, limit - 2
    while right < min(len(line), left + 2 * limit) and (wide := _shown(line[right])[1]) <= room:
        right, room = right + 1, room - wide
    part = _expand(line[left:right].replace("\t", " "))
    shifted = Span(span.source, span.line, span.column - left, span.end_line, span.end_column - left)
    column, length = _mark(part, shifted, line[left:right])
    before = _CUT if left else ""
    return Snippet(before + part[0] + (_CUT if right < len(line) else ""), ((column + len(before), length),))


def _mark(expanded: tuple[str, list[int]], span: Span, line: str) -> tuple[int, int]:
    """Column and length of the underline; a span of several lines is underlined to the end of its first one."""
    widths = expanded[1]
    begin = min(max(0, span.column - 1), len(widths))  # an end of file may lie behind the last line shown
    end = span.end_column - 1 if span.end_line == span.line else len(line.rstrip())
    return sum(widths[:begin]), max(1, sum(widths[begin:end]))


def _expand(line: str) -> tuple[str, list[int]]:
    """The harmless text of `line` and the columns that each of its characters takes."""
    if line.isascii() and line.isprintable():
        return line, [1] * len(line)
    parts, widths, column = [], [], 0
    for character in line:
        shown, wide = _shown(character)
        if character == "\t":
            wide = TAB - column % TAB
            shown = " " * wide
        parts.append(shown)
        widths.append(wide)
        column += wide
    return "".join(parts), widths


def _shown(character: str) -> tuple[str, int]:
    """What stands for `character` on the screen, and its columns. Controls become pictures: ESC is shown as `␛`."""
    code = ord(character)
    if 0x20 <= code < 0x7F:
        return character, 1
    if code < 0x20:
        return chr(0x2400 + code), 1
    if code == 0x7F:
        return "␡", 1
    category = unicodedata.category(character)
    if category[0] == "C" or category in _SEPARATORS:  # controls, bidirectional overrides, surrogates, unassigned
        return _UNSHOWN, 1
    if category in ("Mn", "Me"):
        return character, 0
    return character, 2 if unicodedata.east_asian_width(character) in "WF" else 1
