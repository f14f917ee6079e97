"""Fixed two-dimensional sinusoidal positions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

from netspec.costs import Cost
from netspec.fields import Param
from netspec.positions import Table
from netspec.problems import Problem
from netspec.tensors import TensorType

if TYPE_CHECKING:
    from torch import Tensor, nn

    from netspec.module import Parts


class SinCos(Table, name="sincos"):
    """Half of the channels code the column, half the row, each as sines then cosines. The table is frozen.

    Peebles & Xie 2023, arXiv:2212.09748, Sec. 3.2, after Vaswani et al. 2017, arXiv:1706.03762, Sec. 3.5. What is coded
    is a place's index / `scale`. With a `span` it runs from 0 to that along each side of the table: of every image by
    itself, where sizes come from `dims` and there is no `grid` (Chen et al. 2023, arXiv:2310.00426, Sec. 2.3).
    """

    label = "sin-cos positions"

    example = "{type: sincos, grid: 64, crop: center}"

    scale: Annotated[float, Param("places for each step of 1 in what is coded", gt=0)] = 1.0
    span: Annotated[
        float | None,
        Param("length of each side in what is coded, whatever its number of places; instead of scale", gt=0),
    ] = None

    def check(self, x: TensorType, channels: int | None = None) -> Iterator[Problem]:
        yield from super().check(x)
        if self.span is not None and self.scale != 1:
            yield Problem(
                "NS318",
                f"positions that span {self.span:g} have their scale by that",
                field="scale",
                label="has no effect",
                help=("keep either `scale` or `span`",),
            )
        if x.channels % 4:
            yield Problem(
                "NS308",
                f"2-D sin-cos positions need a width that is a multiple of 4, it is {x.channels}",
                label=f"{x.channels} / 4 = {x.channels / 4:g}",
                subject=str(x.channels),
                help=(f"nearest widths: {x.channels // 4 * 4} or {x.channels // 4 * 4 + 4}",),
            )

    def cost(self, x: TensorType, out: TensorType) -> Cost:
        if self._tableless(x):
            return Cost()
        rows, columns = self.places(x)
        return Cost(frozen=rows * columns * x.channels)

    def build(self, x: TensorType, out: TensorType) -> nn.Module:
        from netspec.module import assemble
        from netspec.ops.positions import coordinates, sincos_table

        if self._tableless(x):
            return assemble(self)
        rows, columns = (coordinates(n, n / self.span if self.span else self.scale) for n in self.places(x))
        return assemble(self, table=sincos_table(rows, columns, x.channels)[None].float())  # (1, rows, columns, C)

    def forward(self, m: Parts, x: Tensor) -> Tensor:
        from netspec import ops

        if hasattr(m, "table"):
            return self.add(m.table, x)
        assert self.span is not None  # else there is a table
        return ops.to_tokens(x) + ops.sincos_positions(x, self.span)

    def _tableless(self, x: TensorType) -> bool:
        """Whether every image has positions of its own."""
        return self.span is not None and self.grid is None and not all(size.fixed for size in x.sizes)
