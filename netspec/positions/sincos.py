"""Fixed two-dimensional sinusoidal positions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from netspec.costs import Cost
from netspec.positions import Table
from netspec.problems import Problem
from netspec.tensors import TensorType

if TYPE_CHECKING:
    from torch import Tensor, nn

    from netspec.module import Parts


class SinCos(Table, name="sincos"):
    """Half of the channels code the column, half the row, each as sines then cosines. The table is frozen.

    Peebles & Xie 2023, arXiv:2212.09748, Sec. 3.2, after Vaswani et al. 2017, arXiv:1706.03762, Sec. 3.5.
    """

    example = "{type: sincos, grid: 64, crop: center}"

    def check(self, x: TensorType, channels: int | None = None) -> Iterator[Problem]:
        yield from super().check(x)
        if x.channels % 4:
            yield Problem(
                "NS308",
                f"2-D sin-cos positions need a width that is a multiple of 4, it is {x.channels}",
                label=f"{x.channels} / 4 = {x.channels / 4:g}",
                subject=str(x.channels),
                help=(f"nearest widths: {x.channels // 4 * 4} or {x.channels // 4 * 4 + 4}",),
            )

    def cost(self, x: TensorType, out: TensorType) -> Cost:
        rows, columns = self.places(x)
        return Cost(frozen=rows * columns * x.channels)

    def build(self, x: TensorType, out: TensorType) -> nn.Module:
        import torch

        from netspec.module import assemble

        rows, columns = self.places(x)
        places = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
        row, column = (_waves(place, x.channels // 2) for place in places)  # (rows, columns, C / 2) each
        return assemble(self, table=torch.cat([column, row], dim=-1)[None].float())  # (1, rows, columns, C)

    def forward(self, m: Parts, x: Tensor) -> Tensor:
        return self.add(m.table, x)


def _waves(place: Tensor, width: int) -> Tensor:
    """sin and cos of place / 10000^(2i / width): (*place.shape, width)."""
    import torch

    index = torch.arange(width // 2, dtype=torch.float64, device=place.device)
    angles = place.double()[..., None] * 10000 ** (-index / (width / 2))
    return torch.cat([angles.sin(), angles.cos()], dim=-1)
