"""What a picture is made of, with places: cards with texts and cells, lines between their borders. Units are those of
the viewBox: a narrow picture is 400 wide, so that its text has its stated size on a screen of 400 pixels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

from netspec.drawing.metrics import measured, width
from netspec.drawing.scene import Box

Point: TypeAlias = tuple[float, float]
Anchor = Literal["start", "middle", "end"]


@dataclass(frozen=True)
class Measure:
    """The sizes of one width of picture: fonts, cards, gaps."""

    width: float
    heading: float  # font sizes
    title: float
    text: float
    small: float
    line: float  # height of a line of text
    pad: float  # inside a card
    gap: float  # between rows
    narrowest: float  # cards
    widest: float
    strip: float  # height of the cells that stand for nodes
    part: float  # height of a part inside a block
    margin: float


WIDE = Measure(960, 19, 14, 13, 12, 19, 11, 34, 226, 336, 9, 27, 10)
NARROW = Measure(400, 13, 10.5, 9.6, 9.4, 13.5, 7, 24, 140, 172, 6, 18, 6)


@dataclass(frozen=True)
class Rect:
    """A rectangle: left, top, width, height."""

    x: float
    y: float
    w: float
    h: float

    @property
    def right(self) -> float:
        return self.x + self.w

    @property
    def bottom(self) -> float:
        return self.y + self.h

    @property
    def middle(self) -> float:
        """Half way across."""
        return self.x + self.w / 2

    @property
    def center(self) -> float:
        """Half way down."""
        return self.y + self.h / 2

    def holds(self, other: Rect, slack: float = 0.01) -> bool:
        return (
            self.x - slack <= other.x and self.y - slack <= other.y
            and other.right <= self.right + slack and other.bottom <= self.bottom + slack
        )  # fmt: skip

    def meets(self, other: Rect) -> bool:
        """Whether they share more than a border."""
        across = min(self.right, other.right) - max(self.x, other.x)
        return across > 0.01 and min(self.bottom, other.bottom) - max(self.y, other.y) > 0.01


@dataclass(frozen=True)
class Text:
    """One line of text at a baseline."""

    x: float
    y: float
    text: str
    style: str  # a class of the style sheet: heading, title, words, size, note
    font: float
    anchor: Anchor = "start"
    bold: bool = False

    @property
    def held(self) -> bool:
        """Whether its letters are set to the width that they were measured with, where another font is wider. Not where
        a letter's width was guessed."""
        return measured(self.text)

    @property
    def rect(self) -> Rect:
        """Where its letters are."""
        wide = width(self.text, self.font, bold=self.bold)
        left = self.x - {"start": 0.0, "middle": wide / 2, "end": wide}[self.anchor]
        return Rect(left, self.y - 0.76 * self.font, wide, 0.98 * self.font)

    def moved(self, x: float, y: float) -> Text:
        return replace(self, x=self.x + x, y=self.y + y)


@dataclass(frozen=True)
class Cell:
    """A small rectangle for a node, or for a part of one with its name in it."""

    rect: Rect
    style: str
    title: str = ""


@dataclass(frozen=True)
class Mark:
    """A sign that stands for something that many boxes read."""

    x: float
    y: float
    shape: int
    radius: float
    style: str


@dataclass(frozen=True)
class Card:
    """A box with its place and what is written in it."""

    box: Box
    rect: Rect
    title: str  # all there is to say, for a reader who points at it
    style: str
    texts: tuple[Text, ...] = ()
    cells: tuple[Cell, ...] = ()
    marks: tuple[Mark, ...] = ()
    stacked: bool = False  # drawn as several behind each other

    def at(self, x: float, y: float) -> Card:
        """The same card with its corner at a place; it is made at the origin."""
        rect = Rect(x, y, self.rect.w, self.rect.h)
        cells = (replace(c, rect=Rect(c.rect.x + x, c.rect.y + y, c.rect.w, c.rect.h)) for c in self.cells)
        marks = (replace(mark, x=mark.x + x, y=mark.y + y) for mark in self.marks)
        texts = (text.moved(x, y) for text in self.texts)
        return replace(self, rect=rect, texts=tuple(texts), cells=tuple(cells), marks=tuple(marks))

    def taller(self, height: float) -> Card:
        """The same card made higher, with its strip still at its foot."""
        by = height - self.rect.h
        cells = (replace(cell, rect=replace(cell.rect, y=cell.rect.y + by)) for cell in self.cells)
        marks = (replace(mark, y=mark.y + by) if mark.y > self.rect.h / 2 else mark for mark in self.marks)
        texts = (text.moved(0, by) if text.style == "share" else text for text in self.texts)
        return replace(
            self, rect=replace(self.rect, h=height), cells=tuple(cells), marks=tuple(marks), texts=tuple(texts)
        )


@dataclass(frozen=True)
class Line:
    """A line with an arrow at its end. `source` and `target` are the cards that it joins; one that leaves another line
    has a `dot` where it does."""

    points: tuple[Point, ...]
    kind: str
    source: str
    target: str
    title: str = ""
    dot: bool = False

    @property
    def path(self) -> Iterator[tuple[str, Point]]:
        """Points as commands of a path, corners rounded, and the end a little before the arrow's tip."""
        points = list(self.points)
        points[-1] = _towards(points[-1], points[-2], ARROW - 1)
        yield "M", points[0]
        for before, corner, after in zip(points, points[1:], points[2:], strict=False):
            radius = min(7.0, _distance(before, corner) / 2, _distance(corner, after) / 2)
            yield "L", _towards(corner, before, radius)
            yield "Q", corner
            yield "", _towards(corner, after, radius)
        yield "L", points[-1]

    @property
    def head(self) -> tuple[Point, Point, Point]:
        """The arrow's tip and its other corners."""
        tip = self.points[-1]
        foot = _towards(tip, self.points[-2], ARROW)
        across, along = (tip[1] - foot[1]) * 0.45, (tip[0] - foot[0]) * 0.45
        return tip, (foot[0] + across, foot[1] - along), (foot[0] - across, foot[1] + along)


STACK = 8.0  # what shows of the cards behind one that stands for several, below it
ARROW = 7.0  # length of an arrow's head


@dataclass
class Picture:
    """Everything with its place."""

    measure: Measure
    cards: list[Card] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    texts: list[Text] = field(default_factory=list)
    cells: list[Cell] = field(default_factory=list)
    height: float = 0.0

    def card(self, id: str) -> Card:
        return next(card for card in self.cards if card.box.id == id)


def _distance(a: Point, b: Point) -> float:
    return abs(a[0] - b[0]) + abs(a[1] - b[1])


def _towards(start: Point, end: Point, by: float) -> Point:
    """The point that lies `by` from one point on the way to another."""
    length = ((end[0] - start[0]) ** 2 + (end[1] - start[1]) ** 2) ** 0.5 or 1.0
    return start[0] + (end[0] - start[0]) * by / length, start[1] + (end[1] - start[1]) * by / length
