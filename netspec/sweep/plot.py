"""An outcome as a picture: every point over two figures on logarithmic axes, the front as a line; and as a page."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from netspec import markup
from netspec.analysis.tables import amount
from netspec.drawing import style
from netspec.drawing.metrics import width as text_width
from netspec.sweep import table
from netspec.sweep.costing import Point
from netspec.sweep.front import FIGURES
from netspec.sweep.outcome import Outcome

if TYPE_CHECKING:
    from jinja2 import Environment

WIDTH, HEIGHT = 760, 460
_LEFT, _RIGHT, _TOP, _BOTTOM = 74, 24, 40, 52
_FONT = 12.0
_LABELS = 12  # of points of the front, as far as there is room
_TOLD = 2000  # points, up to which each has a title
_TICKS = 8  # about, of an axis
_FINE = tuple(tenths / 10 for tenths in range(10, 100))  # first digits of ticks, where a range is narrow

RULES = """\
.ns-plot text { font: 12px $font; fill: $ink }
.ns-plot .title { font-weight: 600; font-size: 14px }
.ns-plot .tick, .ns-plot .axis { fill: $muted }
.ns-plot .grid { stroke: $rule; stroke-width: 1; fill: none }
.ns-plot .point { fill: $skip; fill-opacity: .55 }
.ns-plot .best { fill: $accent }
.ns-plot .front { stroke: $accent; stroke-width: 1.6; fill: none }
"""


@dataclass(frozen=True)
class Axis:
    """One logarithmic axis: its figure, the range of numbers that it shows, and where that lies in the picture."""

    figure: str
    low: float
    high: float
    start: float
    end: float

    @property
    def name(self) -> str:
        return {"params": "parameters", "gflops": "GFLOPs", "activations": "activations", "ms": "ms"}[self.figure]

    def at(self, value: float) -> float:
        """The coordinate of a number."""
        part = math.log(max(value, self.low) / self.low) / math.log(self.high / self.low)
        return self.start + part * (self.end - self.start)

    def ticks(self) -> list[tuple[float, str]]:
        """Round numbers inside the range, about eight of them: coordinates and words."""
        powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        for digits in (_FINE, (1, 1.5, 2, 2.5, 3, 4, 5, 6, 7, 8, 9), (1, 2, 3, 5, 7), (1, 2, 5), (1, 3), (1,)):
            numbers = (digit * 10.0**power for power in powers for digit in digits)
            found = [number for number in numbers if self.low <= number <= self.high]
            if len(found) <= _TICKS:
                break
        return [(self.at(value), _WORDS[self.figure](value)) for value in found]


def _short(value: float) -> str:
    for unit, size in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:g} {unit}"
    return f"{value:g}"


_WORDS: dict[str, Callable[[float], str]] = {
    "params": lambda value: _short(value).replace("G", "B"),
    "gflops": lambda value: f"{value:,g}",
    "activations": lambda value: amount(round(value)),
    "ms": lambda value: f"{value:,g}",
}


def svg(outcome: Outcome) -> str:
    """The picture as a file of its own."""
    return _drawn(outcome, style.of_file(RULES)) + "\n"


def html(outcome: Outcome) -> str:
    """The picture over the table, in a page without a script."""
    names = [name for _, name in outcome.grid.varying]
    headings = [*names, "parameters", "GFLOPs", "activations", "ms", *["measured ms"][: bool(outcome.measured)]]
    page = (
        _environment()
        .get_template("page.html.j2")
        .render(
            outcome=outcome,
            rules=style.variables() + style.of_page(_PAGE + RULES),
            picture=_drawn(outcome, ""),
            headings=headings,
            rows=[(point.index in outcome.best, table.cells(outcome, point)) for point in outcome.points],
            notes=[note.removeprefix("* ") for note in table.notes(outcome)],
            device=outcome.roof.device,
        )
    )
    return f"{page}\n"


_PAGE = """\
body { margin: 0; background: $paper; color: $ink; font: 15px/1.5 $font; font-variant-numeric: tabular-nums }
main { max-width: 960px; margin: 0 auto; padding: 2rem 1rem 4rem }
h1 { font-size: 1.4rem; margin: 0 0 .4rem; overflow-wrap: anywhere }
p { margin: .2rem 0; color: $muted }
svg { display: block; width: 100%; min-width: 600px; height: auto; margin: 0 }
.scroll { overflow-x: auto; margin-top: 1.5rem }
table { border-collapse: collapse; width: 100% }
th { font-weight: 400; color: $muted; white-space: nowrap; vertical-align: bottom }
th, td { text-align: right; padding: .28rem 0 .28rem 1.2rem; white-space: nowrap }
thead th { border-bottom: 1px solid $ink }
tbody td { border-bottom: 1px solid $rule }
tr.best td { font-weight: 600 }
"""


@cache
def _environment() -> Environment:
    made = markup.environment(Path(__file__).with_name("templates"))
    made.filters["n"] = lambda value: f"{value:.1f}".removesuffix(".0")
    return made


def _drawn(outcome: Outcome, sheet: str) -> str:
    x_name, y_name = _figures(outcome)
    x = _axis(outcome.points, x_name, _LEFT, WIDTH - _RIGHT)
    y = _axis(outcome.points, y_name, HEIGHT - _BOTTOM, _TOP)
    best = [point for point in outcome.points if point.index in outcome.best]
    places = {point.index: (x.at(FIGURES[x_name](point)), y.at(FIGURES[y_name](point))) for point in outcome.points}
    line = sorted(places[point.index] for point in best)
    told = {point.index: _told(outcome, point) for point in (outcome.points if len(places) <= _TOLD else best)}
    return _environment().get_template("scatter.svg.j2").render(
        width=WIDTH, height=HEIGHT, left=_LEFT, right=WIDTH - _RIGHT, top=_TOP, bottom=HEIGHT - _BOTTOM,
        sheet=sheet, x=x, y=y, title=f"{y.name} over {x.name}: {outcome.trade}",
        x_name=f"{x.name}, least possible on {outcome.roof}" if x_name == "ms" else x.name,
        y_name=f"{y.name}, least possible on {outcome.roof}" if y_name == "ms" else y.name,
        others=[(places[p.index], told.get(p.index, "")) for p in outcome.points if p.index not in outcome.best],
        best=[(places[p.index], told[p.index]) for p in best], line=line,
        labels=list(_labels([(places[p.index], _values(outcome, p)) for p in best], list(places.values()))),
    )  # fmt: skip


def _figures(outcome: Outcome) -> tuple[str, str]:
    """What the axes show: the first thing that the front trades for the other."""
    names = [*outcome.less, *outcome.more, "ms", "params"]
    x = outcome.less[0]
    y = next(name for name in [*outcome.more, *names] if name != x)
    return x, y


def _axis(points: Sequence[Point], figure: str, start: float, end: float) -> Axis:
    values = [value for point in points if (value := FIGURES[figure](point)) > 0] or [1.0]
    low, high = min(values), max(values)
    room = max((high / low) ** 0.06, 1.1)
    return Axis(figure, low / room, high * room, start, end)


def _values(outcome: Outcome, point: Point) -> str:
    words = outcome.grid.words(point.index)
    return ", ".join(words[number] for number, _ in outcome.grid.varying)


def _told(outcome: Outcome, point: Point) -> str:
    names = [name for _, name in outcome.grid.varying]
    *settings, params, gflops, alive, ms = table.cells(outcome, point)[: len(names) + 4]
    chosen = ", ".join(f"{name} {value}" for name, value in zip(names, settings, strict=True))
    return f"{chosen}: {params} parameters, {gflops} GFLOPs, {alive}, {ms} ms".removeprefix(": ")


Place = tuple[float, float]


def _labels(best: Sequence[tuple[Place, str]], points: Sequence[Place]) -> Iterator[tuple[Place, str, str]]:
    """(place, anchor, words) beside points of the front, where a label covers nothing: from the ends to the middle."""
    taken = [(px - 4, py - 4, px + 4, py + 4) for px, py in points[:4000]]
    order = sorted(best, key=lambda each: each[0])
    spread = [order[round(i * (len(order) - 1) / max(1, _LABELS - 1))] for i in range(_LABELS)] if order else []
    for (px, py), words in dict.fromkeys(spread):
        size = text_width(words, _FONT)
        if not words or size > 260:
            continue
        for dx, dy, anchor in ((-8, -7, "end"), (8, 15, "start"), (8, -7, "start"), (-8, 15, "end")):
            left = px + dx - (size if anchor == "end" else 0)
            box = (left, py + dy - 10, left + size, py + dy + 3)
            inside = box[0] >= _LEFT and box[2] <= WIDTH - 4 and box[1] >= _TOP - 6 and box[3] <= HEIGHT - _BOTTOM
            if inside and not any(_overlap(box, other) for other in taken):
                taken.append(box)
                yield (px + dx, py + dy), anchor, words
                break


def _overlap(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
