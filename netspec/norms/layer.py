"""Layer normalisation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from netspec import costs
from netspec.costs import Cost
from netspec.fields import Param
from netspec.norms import Norm
from netspec.tensors import TensorType

if TYPE_CHECKING:
    from torch import nn


class LayerNorm(Norm, name="layer"):
    """Mean and variance over the channels of each position. Ba et al. 2016, arXiv:1607.06450, Eq. 4."""

    example = "{type: layer, bias: false}"

    eps: Annotated[float, Param("added to the variance before the root", ge=0)] = 1e-5
    affine: Annotated[bool, Param("learn a gain per channel")] = True
    bias: Annotated[bool, Param("learn a bias per channel, where there is a gain")] = True

    def cost(self, x: TensorType, out: TensorType) -> Cost:
        return costs.affine(x.channels, bias=self.bias) if self.affine else Cost()

    def build(self, x: TensorType, out: TensorType) -> nn.Module:
        from torch import nn

        from netspec.module import channels_last

        return channels_last(nn.LayerNorm(x.channels, eps=self.eps, elementwise_affine=self.affine, bias=self.bias), x)
