"""A convolution, then a strided one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

from netspec import costs
from netspec.activations import Activation
from netspec.blocks import even_kernel
from netspec.costs import Cost
from netspec.fields import Param, choice
from netspec.problems import Problem
from netspec.resample import Downsample
from netspec.tensors import TensorType

if TYPE_CHECKING:
    from torch import Tensor, nn

    from netspec.module import Parts


class ConvStridedConv(Downsample, name="conv_conv"):
    """A size-keeping convolution, an activation and a strided convolution: the reduction that Springenberg et al. 2015,
    arXiv:1412.6806, put in the place of pooling.
    """

    label = "two convs"

    example = "{type: conv_conv, act: relu}"

    kernel: Annotated[int, Param("kernel of both, odd", ge=3)] = 3
    act: Annotated[Activation, Param("between the two")] = choice("silu")

    def check(self, x: TensorType, c: TensorType | None = None, *, channels: int | None = None) -> Iterator[Problem]:
        if self.kernel % 2 == 0:
            yield even_kernel(self.kernel)

    def cost(self, x: TensorType, c: TensorType | None = None, *, out: TensorType) -> Cost:
        same = x.wide(out.channels)
        return costs.conv(x.channels, same, kernel=self.kernel) + costs.conv(out.channels, out, kernel=self.kernel)

    def build(self, x: TensorType, c: TensorType | None = None, *, out: TensorType) -> nn.Module:
        from torch import nn

        from netspec.module import assemble

        pad = self.kernel // 2
        return assemble(
            self,
            conv=nn.Conv2d(x.channels, out.channels, self.kernel, padding=pad),
            act=self.act.build(out, out),
            strided=nn.Conv2d(out.channels, out.channels, self.kernel, stride=2, padding=pad),
        )

    def forward(self, m: Parts, x: Tensor, c: Tensor | None = None) -> Tensor:
        return m.strided(m.act(m.conv(x)))  # type: ignore[no-any-return]  # a module's call is untyped
