"""Diagnostics → text. Nothing else in netspec formats a diagnostic.

error[NS302]: 320 channels do not split into 12 heads        header
  --> 03_heads.yaml:26:28                                    the primary place
   |
20 |     - {channels: 320,  transformer: 1}                  a second place, underlined with -
   |                  --- this level
  ...
26 |   transformer: {num_heads: 12, context: text}
   |                            ^^ 320 / 12 = 26.6667
   = note: same for 640, 1280                                how it came about
   = help: values that fit every level: 4, 5, 8, 10          what to type

03_heads.yaml: 1 error                                       the sum, file by file
"""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal, TypeAlias

from netspec.errors import Diagnostic, Source, Span
from netspec.render import reports
from netspec.render.snippet import columns, harmless, snippets

Format: TypeAlias = Literal["text", "concise", "json", "github", "sarif"]

DEFAULT_WIDTH = 120
_NARROWEST = 20  # columns of source that are always shown

_MACHINE: dict[str, Callable[[Sequence[Diagnostic]], str]] = {
    "concise": reports.concise,
    "json": reports.as_json,
    "github": reports.github,
    "sarif": reports.sarif,
}
_LEVEL_STYLE = {"error": "1;31", "warning": "1;33"}
_BOLD, _GUTTER = "1", "1;34"


def render(
    diagnostics: Iterable[Diagnostic], format: Format = "text", *, color: bool = False, width: int | None = None
) -> str:
    """Every diagnostic in the order given, in one of the formats, ending with a line break ("" when there is nothing
    to say). `color` adds ANSI codes to `text`; `width` is the terminal's: source lines are cut and notes and help are
    wrapped to it (None: source lines cut to 120 columns, nothing wrapped).

    Raises KeyError for a format that does not exist.
    """
    found = list(diagnostics)
    if format != "text":
        return _MACHINE[format](found)
    if not found:
        return ""
    blocks = [_Block(diagnostic, color, width).text() for diagnostic in found]
    return "\n\n".join([*blocks, summary(found)]) + "\n"


def summary(diagnostics: Iterable[Diagnostic]) -> str:
    """`sd15.yaml: 2 errors, 1 warning`, a line for each file."""
    counts: dict[str, Counter[str]] = {}
    for diagnostic in diagnostics:
        name = harmless(diagnostic.span.source.name) if diagnostic.span else ""
        counts.setdefault(name, Counter())[diagnostic.level] += 1
    return "\n".join((f"{name}: " if name else "") + _counted(count) for name, count in counts.items())


def _counted(count: Counter[str]) -> str:
    words = ((count[level], level) for level in ("error", "warning"))
    return ", ".join(f"{number:,} {level}{'' if number == 1 else 's'}" for number, level in words if number)


@dataclass(frozen=True, slots=True)
class _Mark:
    """One underline: the primary place, or a second one."""

    span: Span
    text: str
    primary: bool


class _Block:
    """The text of one diagnostic."""

    def __init__(self, diagnostic: Diagnostic, color: bool, width: int | None) -> None:
        self.diagnostic, self.color, self.width = diagnostic, color, width
        self.marks = [_Mark(label.span, label.text, False) for label in diagnostic.labels]
        if diagnostic.span is not None:
            self.marks.insert(0, _Mark(diagnostic.span, diagnostic.label, True))
        shown = [len(str(mark.span.line)) for mark in self.marks if mark.span.source.text]
        self.margin = " " * max(shown, default=1)
        self.level_style = _LEVEL_STYLE[diagnostic.level]

    def text(self) -> str:
        return "\n".join([*self._header(), *self._places(), *self._footer()])

    def _header(self) -> Iterator[str]:
        diagnostic = self.diagnostic
        title = self._paint(f"{diagnostic.level}[{diagnostic.code}]", self.level_style)
        yield title + self._paint(f": {harmless(diagnostic.message)}", _BOLD)

    def _places(self) -> Iterator[str]:
        first = self.marks[0].span.source if self.marks else None
        sources = {id(mark.span.source): mark.span.source for mark in self.marks}
        for source in sources.values():
            marks = [mark for mark in self.marks if mark.span.source is source]
            if source is not first:
                yield self._paint(f"{self.margin} |", _GUTTER)
            yield self.margin + self._paint("--> " if source is first else "::: ", _GUTTER) + _where(marks[0].span)
            if source.text:
                yield from self._excerpt(source, marks)

    def _excerpt(self, source: Source, marks: list[_Mark]) -> Iterator[str]:
        yield self._paint(f"{self.margin} |", _GUTTER)
        previous = None
        ordered = sorted(marks, key=lambda mark: (mark.span.line, mark.span.column, not mark.primary))
        for line, group in groupby(ordered, key=lambda mark: mark.span.line):
            if previous is not None and line > previous + 1:
                yield self._paint(f"{self.margin}...", _GUTTER)
            yield from self._line(source.lines[line - 1] if line <= len(source.lines) else "", line, list(group))
            previous = line

    def _line(self, text: str, number: int, marks: list[_Mark]) -> Iterator[str]:
        limit = max(_NARROWEST, (self.width or DEFAULT_WIDTH) - len(self.margin) - len(" | "))
        for snippet, indices in snippets(text, [mark.span for mark in marks], limit):
            gutter = self._paint(f"{number:>{len(self.margin)}} |", _GUTTER)
            yield f"{gutter} {snippet.text}".rstrip()
            for index, (column, length) in zip(indices, snippet.marks, strict=True):
                mark = marks[index]
                underline = f"{('^' if mark.primary else '-') * length} {harmless(mark.text)}".rstrip()
                style = self.level_style if mark.primary else _GUTTER
                yield self._paint(f"{self.margin} |", _GUTTER) + " " * (column + 1) + self._paint(underline, style)

    def _footer(self) -> Iterator[str]:
        words = [("note", note) for note in self.diagnostic.notes] + [("help", text) for text in self.diagnostic.help]
        for kind, text in words:
            head = f"{self.margin} = "
            indent = " " * (len(head) + len(f"{kind}: "))
            lines = self._wrapped(text, len(indent))
            yield self._paint(head.rstrip(), _GUTTER) + " " + self._paint(f"{kind}:", _BOLD) + f" {lines[0]}".rstrip()
            yield from (f"{indent}{line}".rstrip() for line in lines[1:])

    def _wrapped(self, text: str, indent: int) -> list[str]:
        lines = [harmless(line) for line in text.splitlines()] or [""]
        if self.width is None:
            return lines
        room = max(_NARROWEST, self.width - indent)
        wrapper = textwrap.TextWrapper(room, break_long_words=False, break_on_hyphens=False)
        return [part for line in lines for part in ([line] if columns(line) <= room else wrapper.wrap(line))]

    def _paint(self, text: str, style: str) -> str:
        return f"\x1b[{style}m{text}\x1b[0m" if self.color and text else text


def _where(span: Span) -> str:
    """A source without text stands for a file that could not be read, or for all of it: there is no line to name."""
    name = harmless(span.source.name)
    return f"{name}:{span.line}:{span.column}" if span.source.text else name
