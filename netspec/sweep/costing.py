"""cost(): one point of a grid → its figures, or why it is refused."""

from __future__ import annotations

from dataclasses import dataclass

from netspec import layers, planner, validation
from netspec import spec as specs
from netspec.analysis.roofline import Roof
from netspec.errors import SpecError
from netspec.spec import Spec
from netspec.sweep.grid import Grid

FLOAT32 = 4  # bytes


@dataclass(frozen=True, slots=True)
class Point:
    """What a point of the grid costs at `opt`: parameters, multiply-accumulates, bytes of activations alive at once in
    float32, seconds on the device at best."""

    index: int
    params: int
    macs: int
    alive: int
    seconds: float

    @property
    def gflops(self) -> float:
        return 2 * self.macs / 1e9


@dataclass(frozen=True, slots=True)
class Refused:
    """A point that is no network: the first finding's code, place in the spec and words."""

    index: int
    code: str
    path: str
    message: str


def cost(grid: Grid, roof: Roof, index: int) -> Point | Refused:
    """The figures of one point."""
    try:
        plan = planner.lower(spec_of(grid, index))
    except SpecError as error:
        first = error.diagnostics[0]
        return Refused(index, first.code, first.path, first.message)
    whole = plan.cost
    return Point(index, whole.params, whole.macs, FLOAT32 * plan.peak_elements, roof.seconds(plan))


def refusal(grid: Grid) -> None:
    """Raise what is wrong with the first point, in full: SpecError."""
    planner.lower(spec_of(grid, 0))


def spec_of(grid: Grid, index: int) -> Spec:
    """The spec of one point. Raises SpecError where it is none."""
    document, settings = grid.at(index)
    laid = layers.lay(document, settings)
    validation.validate(laid)
    return specs.resolve(laid)
