"""Figures of a point by name, budgets over them, and the points that no other point beats."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from netspec.errors import Diagnostic, UsageError
from netspec.sweep.costing import Point

FIGURES: dict[str, Callable[[Point], float]] = {
    "params": lambda point: point.params,
    "gflops": lambda point: point.gflops,
    "activations": lambda point: point.alive,
    "ms": lambda point: 1e3 * point.seconds,
}
MORE, LESS = ("params",), ("ms",)  # the trade of a front where nobody says
_COMPARE = {"<=": operator.le, "<": operator.lt, ">=": operator.ge, ">": operator.gt}
_UNITS = {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9, "b": 1e9, "t": 1e12}
_BUDGET = re.compile(r"\s*(\w+)\s*(<=|>=|<|>)\s*([0-9.]+(?:e[+-]?[0-9]+)?)\s*([kmgbt]?)b?\s*", re.IGNORECASE)
_BETWEEN = re.compile(r"[\s,]+(?=[a-z]+\s*[<>])")


@dataclass(frozen=True)
class Budget:
    """A bound of one figure: `params<=100M`, `activations<500MB`, `ms<=20`."""

    figure: str
    sign: str
    bound: float

    def allows(self, point: Point) -> bool:
        return bool(_COMPARE[self.sign](FIGURES[self.figure](point), self.bound))


def budgets(text: str) -> list[Budget]:
    """Bounds with spaces or commas between them: `params<=100M, ms<=20`. Raises UsageError NS943."""
    return [budget(part) for part in _BETWEEN.split(text)]


def budget(text: str) -> Budget:
    """A bound from its words. Raises UsageError NS943."""
    match = _BUDGET.fullmatch(text)
    if match is None:
        help = "write a figure, `<=` or `>=`, and a number: params<=100M, activations<=500MB, ms<=20"
        raise UsageError(Diagnostic("NS943", f"`{text}` is no budget", help=(help,)))
    try:
        number = float(match[3]) * _UNITS[match[4].lower()]
    except ValueError as error:
        raise UsageError(Diagnostic("NS943", f"`{match[3]}` is no number")) from error
    return Budget(figure(match[1]), match[2], number)


def figure(name: str) -> str:
    """A figure's name, checked. Raises UsageError NS943."""
    if name not in FIGURES:
        close = get_close_matches(name, FIGURES, n=1)
        helps = (*(f"did you mean `{each}`?" for each in close), f"there are {', '.join(FIGURES)}")
        raise UsageError(Diagnostic("NS943", f"`{name}` is no figure of a network", help=helps))
    return name


def trade(less: list[str], more: list[str] | None) -> tuple[list[str], list[str]]:
    """What a front has little and much of: where nobody says, much of `params`, unless little of it is wanted.

    Raises UsageError NS943 for a figure that is wanted both ways.
    """
    if more is None:
        return less, [name for name in MORE if name not in less]
    if both := [name for name in less if name in more]:
        raise UsageError(Diagnostic("NS943", f"a front has little of `{both[0]}` or much of it, not both"))
    return less, more


def front(points: Iterable[Point], less: Sequence[str], more: Sequence[str]) -> set[int]:
    """The indexes of the Pareto front: points of which no other has as little of all of `less`, as much of all of
    `more`, and is better in one."""
    prices = sorted((_price(point, less, more), point.index) for point in points)
    kept: list[tuple[float, ...]] = []
    found = set()
    for price, index in prices:  # what beats a point comes before it
        if not any(best != price and all(a <= b for a, b in zip(best, price, strict=True)) for best in reversed(kept)):
            found.add(index)
            if not kept or kept[-1] != price:
                kept.append(price)
    return found


def _price(point: Point, less: Sequence[str], more: Sequence[str]) -> tuple[float, ...]:
    return (*(FIGURES[name](point) for name in less), *(-FIGURES[name](point) for name in more))
