"""outcome(): the figures of all points → Outcome, sorted, within budgets, the front marked."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from netspec.analysis.roofline import Roof
from netspec.sweep.costing import Point, Refused
from netspec.sweep.front import FIGURES, LESS, MORE, Budget, front
from netspec.sweep.grid import Grid

_ROW = re.compile(r"\[\d+\]")


@dataclass(frozen=True)
class Cause:
    """Why points are refused: one finding, how many points have it, and the first of them."""

    code: str
    path: str
    message: str
    count: int
    first: int


@dataclass(frozen=True)
class Outcome:
    """A grid with its figures. `points` are those within the budgets, sorted; `best`, the front's, by index;
    `measured`, milliseconds of those that were timed."""

    grid: Grid
    roof: Roof
    points: tuple[Point, ...]
    best: frozenset[int]
    causes: tuple[Cause, ...]
    outside: int  # points that no budget allows
    less: tuple[str, ...] = LESS
    more: tuple[str, ...] = MORE
    measured: Mapping[int, float] = field(default_factory=dict)

    @property
    def refused(self) -> int:
        return sum(cause.count for cause in self.causes)

    @property
    def trade(self) -> str:
        """What the front is one of: `most params for least ms`."""
        least = f"least {' and '.join(self.less)}"
        return f"most {' and '.join(self.more)} for {least}" if self.more else least

    def front_only(self) -> Outcome:
        """The same with the points of the front alone."""
        return replace(self, points=tuple(point for point in self.points if point.index in self.best))


def outcome(
    grid: Grid,
    roof: Roof,
    found: Iterable[Point | Refused],
    *,
    budgets: Sequence[Budget] = (),
    sort: str = "",
    less: Sequence[str] = LESS,
    more: Sequence[str] = MORE,
) -> Outcome:
    """All points in the order of a figure, from small to large; `-params` from large to small; by default that of the
    first of `less`. What a budget forbids is on no front."""
    causes: dict[tuple[str, str], Cause] = {}
    points, outside = [], 0
    for each in found:
        if isinstance(each, Refused):
            key = each.code, _ROW.sub("[]", each.path)  # the same choice in other rows is the same cause
            known = causes.get(key) or Cause(each.code, each.path, each.message, 0, each.index)
            causes[key] = replace(known, count=known.count + 1)
        elif all(budget.allows(each) for budget in budgets):
            points.append(each)
        else:
            outside += 1
    figure = FIGURES[(sort or less[0]).removeprefix("-")]
    sign = -1 if sort.startswith("-") else 1
    points.sort(key=lambda point: (sign * figure(point), point.index))
    best = frozenset(front(points, less, more))
    return Outcome(grid, roof, tuple(points), best, tuple(causes.values()), outside, tuple(less), tuple(more))
