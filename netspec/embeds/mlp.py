"""Vectors that come from outside: pooled text, sizes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from netspec import costs, tensors
from netspec.activations import Activation
from netspec.costs import Cost
from netspec.embeds import Embed
from netspec.fields import Param, choice
from netspec.tensors import TensorType

if TYPE_CHECKING:
    from torch import Tensor, nn

    from netspec.module import Parts


class Mlp(Embed, name="mlp"):
    """linear, act, linear on an input vector (N, D). Podell et al. 2023, arXiv:2307.01952, Sec. 2.2."""

    example = "mlp"
    rank = 2

    trial = (tensors.vector(tensors.fixed(2), 48),)

    act: Annotated[Activation, Param("between the two linear layers")] = choice("silu")
    init_std: Annotated[
        float | None, Param("standard deviation of the initial weights; `none` keeps PyTorch's", gt=0)
    ] = None

    def cost(self, x: TensorType, out: TensorType) -> Cost:
        count = x.batch.opt
        return costs.linear(x.channels, out.channels, count=count) + costs.linear(
            out.channels, out.channels, count=count
        )

    def build(self, x: TensorType, out: TensorType) -> nn.Module:
        from torch import nn

        from netspec.module import assemble, normal_linear

        return assemble(
            self,
            linear1=normal_linear(nn.Linear(x.channels, out.channels), self.init_std),
            act=self.act.build(out, out),
            linear2=normal_linear(nn.Linear(out.channels, out.channels), self.init_std),
        )

    def forward(self, m: Parts, x: Tensor) -> Tensor:
        return m.linear2(m.act(m.linear1(x)))  # type: ignore[no-any-return]  # a module's call is untyped
