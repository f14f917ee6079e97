"""Average pooling."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netspec.resample import Pool
from netspec.tensors import TensorType

if TYPE_CHECKING:
    from torch import Tensor, nn

    from netspec.module import Parts


class AveragePool(Pool, name="avgpool"):
    """The mean of each 2x2 window. Dhariwal & Nichol 2021, arXiv:2105.05233, App. A (inside their blocks)."""

    label = "average pool"

    example = "avgpool"

    def build(self, x: TensorType, c: TensorType | None = None, *, out: TensorType) -> nn.Module:
        from torch import nn

        from netspec.module import assemble

        return assemble(self, pool=nn.AvgPool2d(2))

    def forward(self, m: Parts, x: Tensor, c: Tensor | None = None) -> Tensor:
        return m.pool(x)  # type: ignore[no-any-return]  # a module's call is untyped
