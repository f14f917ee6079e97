"""No normalisation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netspec.costs import Cost
from netspec.norms import Norm
from netspec.tensors import TensorType

if TYPE_CHECKING:
    from torch import nn


class NoNorm(Norm, name="none"):
    """Passes its input on, as the U-Net of Ronneberger et al. 2015, arXiv:1505.04597, does."""

    example = "none"

    def cost(self, x: TensorType, out: TensorType) -> Cost:
        return Cost()

    def build(self, x: TensorType, out: TensorType) -> nn.Module:
        from torch import nn

        return nn.Identity()
