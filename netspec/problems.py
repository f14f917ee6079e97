"""What a component finds wrong with its inputs, as data without a place."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Problem:
    """What a component cannot work with, without a location: the planner knows where the component was written.

    `field` is the choice at fault ("" for the component itself). `subject` names the thing that differs from level to
    level ("640"), so that one cause which hits many levels is one error. `fits` are values that would do. `dim` names
    the size of `dims` whose largest value is too much: the error then stands there, and `field` is its second place.
    """

    code: str
    message: str
    field: str = ""
    label: str = ""
    subject: str = ""
    fits: frozenset[int] = frozenset()
    dim: str = ""
    notes: tuple[str, ...] = ()
    help: tuple[str, ...] = ()


def within(field: str, problems: Iterable[Problem]) -> Iterator[Problem]:
    """Problems of a component that stands in a field of another."""
    for problem in problems:
        yield replace(problem, field=f"{field}.{problem.field}" if problem.field else field)
