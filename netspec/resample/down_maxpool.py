"""Max pooling."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netspec.resample import Pool
from netspec.tensors import TensorType

if TYPE_CHECKING:
    from torch import Tensor, nn

    from netspec.module import Parts


class MaxPool(Pool, name="maxpool"):
    """The largest of each 2x2 window. Ronneberger et al. 2015, arXiv:1505.04597, Sec. 2."""

    label = "max pool"

    example = "{type: maxpool, odd: floor}"

    def build(self, x: TensorType, c: TensorType | None = None, *, out: TensorType) -> nn.Module:
        from torch import nn

        from netspec.module import assemble

        return assemble(self, pool=nn.MaxPool2d(2))

    def forward(self, m: Parts, x: Tensor, c: Tensor | None = None) -> Tensor:
        return m.pool(x)  # type: ignore[no-any-return]  # a module's call is untyped
