"""Position codes of token sequences: `pos_embed: sincos`, `pos_embed: {type: sincos, grid: 192, crop: center}`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Literal

from netspec import tensors
from netspec.costs import Cost
from netspec.fields import Param
from netspec.problems import Problem
from netspec.registry import Component
from netspec.tensors import Size, TensorType

if TYPE_CHECKING:
    from torch import Tensor, nn

    from netspec.module import Parts


class Position(Component, kind="position", usual="sincos"):
    """Turns a grid of patches (N, C, rows, columns) into tokens (N, rows * columns, C) that know their place."""

    role = "position"
    trial = (tensors.image(tensors.fixed(2), 32, tensors.fixed(4), tensors.fixed(3)),)

    def infer(self, x: TensorType) -> TensorType:
        return tensors.tokens(x.batch, tensors.product(x.sizes), x.channels)


class Bare(Position):
    """Tokens as they are: their place, if anything, is told elsewhere."""

    def cost(self, x: TensorType, out: TensorType) -> Cost:
        return Cost()

    def build(self, x: TensorType, out: TensorType) -> nn.Module:
        from netspec.module import assemble

        return assemble(self)

    def forward(self, m: Parts, x: Tensor) -> Tensor:
        from netspec import ops

        return ops.to_tokens(x)


class Table(Position):
    """A table with one row per place of the grid.

    Sizes that are fixed need no `grid`: the table covers just the image's own grid. With sizes from `dims` the table
    is a square of `grid` x `grid` places, and each image uses the part that `crop` says.
    """

    grid: Annotated[
        int | None, Param("places per side of the table; by default as many as the largest image has", ge=1)
    ] = None
    crop: Annotated[
        Literal["center", "corner"],
        Param("which part of the table a smaller image uses", words={"center": "the middle", "corner": "the top left"}),
    ] = "corner"

    def places(self, x: TensorType) -> tuple[int, int]:
        """Rows and columns of the table."""
        if self.grid is not None:
            return self.grid, self.grid
        if all(size.fixed for size in x.sizes):
            rows, columns = (size.opt for size in x.sizes)
            return rows, columns
        most = max(size.at("max") for size in x.sizes)
        return most, most

    def check(self, x: TensorType, channels: int | None = None) -> Iterator[Problem]:
        for size in x.sizes:
            if self.grid is not None and size.at("max") > self.grid:
                yield _too_small(size, self.grid)

    def add(self, table: Tensor, x: Tensor) -> Tensor:
        """Tokens of the grid `x` plus their rows of `table` (1, rows, columns, C)."""
        from netspec import ops

        return ops.to_tokens(x) + ops.crop_positions(table, x, 1, self.crop)


def _too_small(size: Size, grid: int) -> Problem:
    """An image with more patches per side than the table has places."""
    needed = size.at("max")
    if size.fixed:
        message = f"an image of {needed} patches per side needs {needed} positions"
        return Problem("NS305", message, field="grid", label=f"position grid is {grid}")
    assert size.linear is not None  # a side of a grid of patches
    word, factor = size.linear
    largest = (size.values[2] - size.offset) / factor  # the image's own size: a patch is several pixels
    message = f"{word} up to {largest} needs {needed} positions"
    return Problem("NS305", message, field="grid", label=f"position grid is {grid}", dim=word)
