"""A box → a card: what is written in it, how wide and high that is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import groupby

from netspec.drawing.geometry import Card, Cell, Mark, Measure, Rect, Text
from netspec.drawing.metrics import cut, width, wrapped
from netspec.drawing.paint import Paint
from netspec.drawing.scene import KINDS, Box, Scene
from netspec.plan import Node

_MOST_LINES = 3  # of words
_GAP = 2.0  # between cells
_THINNEST = 3.0  # cell
_SHORTEST = 0.2  # bar


class Cards:
    """Makes the cards of one picture. `marks` are the shapes of what many boxes read, by box."""

    def __init__(self, scene: Scene, measure: Measure, paint: Paint, marks: Mapping[str, int] | None = None) -> None:
        self.plain = {name for name, _ in paint.legend} <= KINDS.keys() and not paint.shares
        self.boxes, self.m, self.paint, self.marks = scene.boxes, measure, paint, marks or {}

    def card(self, box: Box, wide: float) -> Card:
        """The card of a box at a width."""
        return self._pill(box, wide) if box.role in ("input", "output") else self._stage(box, wide)

    def pill(self, box: Box) -> float:
        """The width that an input's or output's name and size take."""
        m = self.m
        _, left = self._own_mark(box, 0, m.pad * 1.3)
        return left + width(box.title, m.title, bold=True) + width(box.size, m.text) + 2.4 * m.pad

    def _pill(self, box: Box, wide: float) -> Card:
        m, high = self.m, self.m.line + self.m.pad
        base = (high + 0.72 * m.title) / 2
        marks, left = self._own_mark(box, high / 2, m.pad * 1.3)
        room = wide - left - m.pad * 1.3
        name = cut(box.title, m.title, max(room - width(box.size, m.text) - m.pad, room / 2), bold=True)
        size = cut(box.size, m.text, room - width(name, m.title, bold=True) - m.pad)
        texts = (
            Text(left, base, name, "title", m.title, bold=True),
            Text(wide - m.pad * 1.3, base, size, "size", m.text, "end"),
        )
        return Card(box, Rect(0, 0, wide, high), _told(box), "pill", texts if size else texts[:1], (), marks)

    def _stage(self, box: Box, wide: float) -> Card:
        m = self.m
        marks, left = self._own_mark(box, m.pad + m.line / 2, m.pad)
        texts, y = self._heading(box, wide, left)
        for text, style, font in ((box.words, "words", m.text), (_read(box), self._muted, m.small)):
            for line in wrapped(text, font, wide - 2 * m.pad, _MOST_LINES) if text else ():
                texts.append(Text(m.pad, self._base(y, font), line, style, font))
                y += m.line
        cells: list[Cell] = []
        if box.sketch:
            cells, names, y = self._parts(box, wide, y + m.pad / 3)
            texts += names
            y += m.pad / 3
        told = box.sketch or (box.role == "side" and self.marks)  # parts and marks have the colours of kinds
        if not (told and self.plain):
            y += m.pad * 0.4
            taken, shares, read, high = self._beside(box, wide, y)
            cells += self._strip(box.cells, Rect(m.pad, y + (high - m.strip) / 2, wide - 2 * m.pad - taken, m.strip))
            texts, marks, y = texts + shares, marks + read, y + high
        style = " ".join(("card", box.role, self.paint.fill(box))).strip()
        rect = Rect(0, 0, wide, y + m.pad)
        return Card(box, rect, _told(box), style, tuple(texts), tuple(cells), marks, box.count > 1)

    def _heading(self, box: Box, wide: float, left: float) -> tuple[list[Text], float]:
        """Title and size, on one line where both fit."""
        m, title = self.m, f"{box.count} × {box.title}" if box.count > 1 else box.title
        room = wide - left - m.pad
        size = Text(wide - m.pad, self._base(m.pad, m.text), box.size, self._muted, m.text, "end")
        if width(title, m.title, bold=True) + width(box.size, m.text) + m.pad <= room:
            name = Text(left, self._base(m.pad, m.title), title, "title", m.title, bold=True)
            return [name, size] if box.size else [name], m.pad + m.line
        name = Text(left, self._base(m.pad, m.title), cut(title, m.title, room, bold=True), "title", m.title, bold=True)
        shown = cut(box.size, m.text, wide - 2 * m.pad)
        below = replace(size, x=m.pad, y=self._base(m.pad + m.line, m.text), text=shown, anchor="start")
        return ([name, below], m.pad + 2 * m.line) if shown else ([name], m.pad + m.line)

    def _parts(self, box: Box, wide: float, y: float) -> tuple[list[Cell], list[Text], float]:
        """The rows of parts inside a block, with their names."""
        m, cells, names = self.m, [], []
        for row in box.sketch:
            each = (wide - 2 * m.pad - _GAP * 2 * (len(row) - 1)) / len(row)
            for place, part in enumerate(row):
                if part:
                    rect = Rect(m.pad + place * (each + 2 * _GAP), y, each, m.part)
                    style = ("attention" if "attention" in part else "conv") if self.plain else "other"
                    cells.append(Cell(rect, f"part {style}"))
                    base = y + (m.part + 0.72 * m.text) / 2
                    shown = cut(part, m.text, each - 4)
                    names.append(Text(rect.middle, base, shown, "words", m.text, "middle"))
            y += m.part + 2 * _GAP
        return cells, names, y - 2 * _GAP

    def _strip(self, nodes: Sequence[Node], rect: Rect) -> list[Cell]:
        """A cell for each node; for each run of one colour where there is no room."""
        if self.paint.numbers:
            return self._bar(nodes, rect)
        runs = [(self.paint.style(node), [node]) for node in nodes]
        if len(runs) * (_THINNEST + _GAP) > rect.w:
            runs = [(style, list(run)) for style, run in groupby(nodes, key=self.paint.style)]
            runs = runs[: int(rect.w / (_THINNEST + _GAP))]
        each = (rect.w + _GAP) / sum(len(run) for _, run in runs)
        gap = min(_GAP, each / 2)
        cells, x = [], rect.x
        for style, run in runs:
            title = "\n".join(_node(node) for node in run[:8])
            cells.append(Cell(Rect(x, rect.y, each * len(run) - gap, rect.h), style, title))
            x += each * len(run)
        return cells

    def _bar(self, nodes: Sequence[Node], rect: Rect) -> list[Cell]:
        """Cells as long as the nodes' shares of the whole network."""
        numbers = self.paint.numbers
        largest = max(self.paint.shares.values()) or 1.0
        room = min(rect.w, self.m.narrowest - 2 * self.m.pad - 8 * self.m.strip)  # one scale for all cards
        scale = room / (largest * (sum(numbers.values()) or 1.0))
        cells, x = [], rect.x
        for node in nodes:
            long = numbers.get(node.name, 0.0) * scale
            if long >= _SHORTEST:
                cells.append(Cell(Rect(x, rect.y, long - min(1.0, long / 4), rect.h), "share", _node(node)))
            x += long
        return cells

    def _beside(self, box: Box, wide: float, y: float) -> tuple[float, list[Text], tuple[Mark, ...], float]:
        """What stands at the end of the strip: (its width, its share as a text, marks of what feeds the box, the
        height of all)."""
        m, share, taken = self.m, self.paint.share(box), 0.0
        texts: list[Text] = []
        high = m.strip
        if share is not None:
            text = percent(share)
            high = m.line
            texts.append(Text(wide - m.pad, self._base(y, m.text), text, "share", m.text, "end", bold=True))
            taken = width("100 %", m.text, bold=True) + m.pad
        marks = []
        fed = [source for source in box.fed if source in self.marks]
        if fed:
            high = max(high, 2 * self._radius)
        for place, source in enumerate(reversed(fed)):
            x = wide - m.pad - taken - self._radius - place * 2.7 * self._radius
            marks.append(Mark(x, y + high / 2, self.marks[source], self._radius, _sort(self.boxes[source])))
        return taken + (len(fed) * 2.7 + 0.6) * self._radius * bool(fed), texts, tuple(marks), high

    def _own_mark(self, box: Box, y: float, left: float) -> tuple[tuple[Mark, ...], float]:
        """The mark that stands for this box in others, and where its title begins."""
        if box.id not in self.marks:
            return (), left
        mark = Mark(left + self._radius, y, self.marks[box.id], self._radius, _sort(box))
        return (mark,), left + 2 * self._radius + self.m.pad * 0.7

    @property
    def _muted(self) -> str:
        """The style of text that steps back; on the ramp's colours it would step too far."""
        return "words" if self.paint.shares else "size"

    @property
    def _radius(self) -> float:
        return self.m.strip * 0.55

    def _base(self, top: float, font: float) -> float:
        """The baseline of a line of text that begins at `top`."""
        return top + (self.m.line + 0.72 * font) / 2


def _sort(box: Box) -> str:
    """Whether it is a vector or anything else, which the colours of marks and lines tell."""
    return "vector" if box.type.layout in ("vector", "index") else "tokens"


def percent(share: float) -> str:
    """`12 %`, `1.3 %`, `< 0.1 %`."""
    if share == 0:
        return "0 %"
    if share < 0.001:
        return "< 0.1 %"
    return f"{100 * share:.0f} %" if share >= 0.0995 else f"{100 * share:.1f} %"


def _read(box: Box) -> str:
    return f"from {', '.join(box.read)}" if box.read else ""


def _told(box: Box) -> str:
    """A box for a reader who points at it."""
    lines = [f"{box.part} {box.title}".strip() + (f" (×{box.count})" if box.count > 1 else ""), str(box.type)]
    if box.nodes:
        lines.append(f"{box.params:,} parameters, {2 * box.macs / 1e9:,.2f} GFLOPs")
    return "\n".join(lines)


def _node(node: Node) -> str:
    """A node for the same reader: `up_1_block_0: block.resnet → (batch, 640, height/2, width/2)`, costs, spec line."""
    cost, component = node.cost, node.component
    return (
        f"{node.name}: {component.kind}.{component.name} → {node.out}\n"
        f"{cost.params:,} parameters, {cost.gflops:,.3f} GFLOPs"
        + (f", {node.origin.source}" if node.origin.source else "")
    )
