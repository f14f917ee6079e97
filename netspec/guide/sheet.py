"""A spec as lines with remarks: what stands there, and why."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from textwrap import wrap
from typing import TypeAlias

from netspec.guide.sources import Source, Why

Entry: TypeAlias = "tuple[str, str, Why | str | None]"  # name, value, why

WIDTH = 120
_FURTHEST = 56  # a longer line has its remark right behind it


@dataclass(frozen=True)
class Line:
    """One line of YAML and why it is so."""

    text: str
    why: Why | None = None

    def __str__(self) -> str:
        return f"{self.text}  # {self.why}" if self.why else self.text


def line(text: str, why: Why | str | None = None) -> Line:
    """A line; a plain text is a remark without a source."""
    return Line(text, Why(why) if isinstance(why, str) else why)


def table(key: str, entries: Iterable[Entry], why: Why | str | None = None) -> tuple[Line, ...]:
    """A mapping with a line for each entry: names in a column, what they are in the next."""
    found = list(entries)
    width = max(len(name) for name, _, _ in found) + 1
    return line(f"{key}:", why), *(line(f"  {name + ':':<{width}} {value}", why) for name, value, why in found)


@dataclass
class Sheet:
    """Blocks of lines, an empty line between them."""

    blocks: list[tuple[Line, ...]] = field(default_factory=list)

    def add(self, *lines: Line) -> None:
        """One more block."""
        self.blocks.append(lines)

    @property
    def sources(self) -> tuple[Source, ...]:
        """The papers that remarks cite, in their order."""
        found = (each.why.source for block in self.blocks for each in block if each.why and each.why.source)
        return tuple(dict.fromkeys(found))

    def text(self) -> str:
        """The YAML, without a head: remarks of a block at one column, above their line where they are too long."""
        return "\n\n".join("\n".join(_aligned(block)) for block in self.blocks) + "\n"


def head(title: str, sources: Iterable[Source]) -> str:
    """The comment that a spec begins with: what it is, and the papers that its remarks name."""
    lines = wrap(title, WIDTH - 2)
    listed = list(sources)
    width = max((len(source.tag) for source in listed), default=0)
    lines += [f"  {source.tag:<{width}}  {source.reference}" for source in listed]
    return "".join(f"# {each}\n" for each in lines)


def _aligned(block: tuple[Line, ...]) -> Iterable[str]:
    lengths = [len(each.text) for each in block if each.why and len(each.text) <= _FURTHEST]
    column = max(lengths, default=0)
    for each in block:
        if each.why is None:
            yield each.text
            continue
        beside = f"{each.text:<{column}}  # {each.why}"
        if len(beside) <= WIDTH:
            yield beside
            continue
        indent = " " * (len(each.text) - len(each.text.lstrip()))
        yield from (f"{indent}# {part}" for part in wrap(str(each.why), WIDTH - 2 - len(indent)))
        yield each.text
