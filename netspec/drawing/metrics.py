"""How wide a text is, so that nothing is clipped before anybody has drawn it.

Advance widths of Helvetica in thousandths of an em, from Adobe's Core 14 font metrics (AFM). Arial and Liberation Sans
were made with the same widths; a test measures Chromium's text against them.
"""

from __future__ import annotations

import unicodedata

_REGULAR = (
    278, 278, 355, 556, 556, 889, 667, 191, 333, 333, 389, 584, 278, 333, 278, 278, 556, 556, 556, 556, 556, 556, 556,
    556, 556, 556, 278, 278, 584, 584, 584, 556, 1015, 667, 667, 722, 722, 667, 611, 778, 722, 278, 500, 667, 556, 833,
    722, 778, 667, 778, 722, 667, 611, 722, 667, 944, 667, 667, 611, 278, 278, 278, 469, 556, 333, 556, 556, 500, 556,
    556, 278, 556, 556, 222, 222, 500, 222, 833, 556, 556, 556, 556, 333, 500, 278, 556, 500, 722, 500, 500, 500, 334,
    260, 334, 584,
)  # fmt: skip
_BOLD = (
    278, 333, 474, 556, 556, 889, 722, 238, 333, 333, 389, 584, 278, 333, 278, 278, 556, 556, 556, 556, 556, 556, 556,
    556, 556, 556, 333, 333, 584, 584, 584, 611, 975, 722, 722, 722, 722, 667, 611, 778, 722, 278, 556, 722, 611, 833,
    722, 778, 667, 778, 722, 667, 611, 722, 667, 944, 667, 667, 611, 333, 278, 333, 584, 556, 333, 556, 611, 556, 611,
    556, 333, 611, 611, 278, 278, 556, 278, 889, 611, 611, 611, 611, 389, 556, 333, 611, 556, 778, 556, 556, 500, 389,
    280, 389, 584,
)  # fmt: skip
_OTHER = {"\u00a0": 278, "×": 584, "·": 333, "…": 1000, "–": 556, "↓": 500, "↑": 500, "→": 1000}
_UNKNOWN, _FULL = 830, 1300  # wider than most letters; a symbol in colour
_CUT = "…"


def width(text: str, size: float, *, bold: bool = False) -> float:
    """The width of one line of text at a font size, both in the units of the picture."""
    return sum(_advance(character, bold) for character in text) * size / 1000


def measured(text: str) -> bool:
    """Whether the width of every letter is known, not guessed."""
    return all(32 <= ord(character) < 127 or character in _OTHER for character in text)


def cut(text: str, size: float, room: float, *, bold: bool = False) -> str:
    """The text, or as much of its beginning as fits with an ellipsis."""
    if width(text, size, bold=bold) <= room:
        return text
    left, end = room - width(_CUT, size, bold=bold), 0
    while end < len(text) and (left := left - _advance(text[end], bold) * size / 1000) >= 0:
        end += 1
    return text[:end].rstrip() + _CUT


def wrapped(text: str, size: float, room: float, lines: int, *, bold: bool = False) -> list[str]:
    """The text in at most so many lines, broken at spaces, the last one cut where there is more."""
    found: list[str] = []
    words = text.split(" ")
    while words and len(found) + 1 < lines:
        count = 1
        while count < len(words) and width(" ".join(words[: count + 1]), size, bold=bold) <= room:
            count += 1
        found.append(cut(" ".join(words[:count]), size, room, bold=bold))
        words = words[count:]
    return [*found, cut(" ".join(words), size, room, bold=bold)] if words else found


def _advance(character: str, bold: bool) -> int:
    code = ord(character)
    if 32 <= code < 127:
        return (_BOLD if bold else _REGULAR)[code - 32]
    if (known := _OTHER.get(character)) is not None:
        return known
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return _FULL if unicodedata.east_asian_width(character) in "WF" or code >= 0x1F000 else _UNKNOWN
