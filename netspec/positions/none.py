"""No positions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netspec.costs import Cost
from netspec.positions import Position
from netspec.tensors import TensorType

if TYPE_CHECKING:
    from torch import Tensor, nn

    from netspec.module import Parts


class NoPosition(Position, name="none"):
    """Tokens that learn their place from elsewhere, or not at all. Haviv et al. 2022, arXiv:2203.16634."""

    example = "none"

    def cost(self, x: TensorType, out: TensorType) -> Cost:
        return Cost()

    def build(self, x: TensorType, out: TensorType) -> nn.Module:
        from netspec.module import assemble

        return assemble(self)

    def forward(self, m: Parts, x: Tensor) -> Tensor:
        from netspec import ops

        return ops.to_tokens(x)
