"""Root-mean-square normalisation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from netspec import costs
from netspec.costs import Cost
from netspec.fields import Param
from netspec.norms import Norm
from netspec.tensors import TensorType

if TYPE_CHECKING:
    from torch import nn


class RMSNorm(Norm, name="rms"):
    """Divides each position by the root mean square of its channels. Zhang & Sennrich 2019, arXiv:1910.07467, Eq. 4."""

    example = "{type: rms, eps: 1e-6}"

    eps: Annotated[float, Param("added to the mean square before the root", ge=0)] = 1e-6
    affine: Annotated[bool, Param("learn a gain per channel")] = True

    def cost(self, x: TensorType, out: TensorType) -> Cost:
        return costs.affine(x.channels, bias=False) if self.affine else Cost()

    def build(self, x: TensorType, out: TensorType) -> nn.Module:
        from torch import nn

        from netspec.module import channels_last

        return channels_last(nn.RMSNorm(x.channels, eps=self.eps, elementwise_affine=self.affine), x)
