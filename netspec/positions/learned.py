"""Learned positions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from netspec import costs
from netspec.costs import Cost
from netspec.fields import Param
from netspec.positions import Table
from netspec.tensors import TensorType

if TYPE_CHECKING:
    from torch import Tensor, nn

    from netspec.module import Parts


class LearnedPosition(Table, name="learned"):
    """A trained table with one row per place. Dosovitskiy et al. 2021, arXiv:2010.11929, Sec. 3.1."""

    label = "learned positions"

    example = "{type: learned, grid: 32}"

    init_std: Annotated[float, Param("standard deviation of the initial rows", gt=0)] = 0.02

    def cost(self, x: TensorType, out: TensorType) -> Cost:
        rows, columns = self.places(x)
        return costs.embedding(rows * columns, x.channels)

    def build(self, x: TensorType, out: TensorType) -> nn.Module:
        import torch
        from torch import nn

        from netspec.module import assemble

        rows, columns = self.places(x)
        return assemble(self, table=nn.Parameter(torch.randn(1, rows, columns, x.channels) * self.init_std))

    def forward(self, m: Parts, x: Tensor) -> Tensor:
        return self.add(m.table, x)
