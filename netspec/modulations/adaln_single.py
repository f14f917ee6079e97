"""adaLN-single: one projection for all blocks, and a small table in each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netspec.costs import Cost
from netspec.modulations import ModulationRule
from netspec.tensors import TensorType

if TYPE_CHECKING:
    from torch import Tensor, nn

    from netspec.module import Parts


class AdaLNSingle(ModulationRule, name="adaln_single"):
    """shift, scale, gate per branch: the vector, projected once for the whole network, plus the block's own table.

    Chen et al. 2023, arXiv:2310.00426, Sec. 2.3. Where a layer needs more chunks than the vector has, the vector is
    repeated: the head's shift and scale are two rows of a table, each plus the vector itself.
    """

    example = "adaln_single"
    gated = True
    shared = True

    def cost(self, c: TensorType, out: TensorType) -> Cost:
        return Cost(params=out.channels)

    def build(self, c: TensorType, out: TensorType) -> nn.Module:
        import torch
        from torch import nn

        from netspec.module import assemble

        times = out.channels // c.channels
        return assemble(self, table=nn.Parameter(torch.randn(times, c.channels) / c.channels**0.5))

    def forward(self, m: Parts, c: Tensor) -> Tensor:
        rows: Tensor = c.unsqueeze(1) + m.table  # (N, times, D)
        return rows.flatten(1)
