"""Squeeze and excitation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from netspec import costs
from netspec.activations import Activation
from netspec.costs import Cost
from netspec.fields import Param, choice
from netspec.gates import Gate
from netspec.tensors import TensorType

if TYPE_CHECKING:
    from torch import Tensor, nn

    from netspec.module import Parts


class SqueezeExcitation(Gate, name="squeeze_excitation"):
    """The mean of every channel, a bottleneck of two linear layers, a sigmoid: one factor for each channel.

    Hu et al. 2018, arXiv:1709.01507, Eq. 2 to 4.
    """

    example = "{type: squeeze_excitation, reduction: 4}"

    reduction: Annotated[int, Param("channels for each unit of the bottleneck, which has one at least", ge=1)] = 16
    act: Annotated[Activation, Param("inside the bottleneck")] = choice("relu")

    def cost(self, x: TensorType, out: TensorType) -> Cost:
        inner, count = self._inner(x), x.batch.opt
        return costs.linear(x.channels, inner, count=count) + costs.linear(inner, x.channels, count=count)

    def build(self, x: TensorType, out: TensorType) -> nn.Module:
        from torch import nn

        from netspec.module import assemble

        inner = self._inner(x)
        return assemble(
            self,
            linear1=nn.Linear(x.channels, inner),
            act=self.act.build(x, x),
            linear2=nn.Linear(inner, x.channels),
        )

    def forward(self, m: Parts, x: Tensor) -> Tensor:
        import torch

        means = x.mean((2, 3))  # (N, C)
        factors = torch.sigmoid(m.linear2(m.act(m.linear1(means))))  # (N, C)
        return x * factors[:, :, None, None]

    def _inner(self, x: TensorType) -> int:
        return max(1, x.channels // self.reduction)
