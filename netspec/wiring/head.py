"""The end of a U-Net: from the first level's channels to the output's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

from netspec import costs, tensors
from netspec.activations import Activation
from netspec.blocks import even_kernel
from netspec.costs import Cost
from netspec.fields import Param, choice
from netspec.norms import Norm
from netspec.norms.none import NoNorm
from netspec.problems import Problem, within
from netspec.tensors import TensorType
from netspec.wiring import Wiring

if TYPE_CHECKING:
    from torch import Tensor, nn

    from netspec.module import Parts


class HeadConv(Wiring, name="head"):
    """norm, act, convolution; without a norm just the convolution. Ho et al. 2020, arXiv:2006.11239, App. B."""

    role = "head"

    kernel: Annotated[int, Param("kernel, odd", ge=1)] = 3
    norm: Annotated[Norm, Param("first; with `none` the head is the convolution alone")] = choice("group")
    act: Annotated[Activation, Param("between norm and convolution")] = choice("silu")
    zero_init: Annotated[bool, Param("start the convolution at zero")] = True

    trial = (tensors.image(tensors.fixed(2), 32, tensors.fixed(8), tensors.fixed(6)),)
    trial_channels = 4

    def check(self, x: TensorType, channels: int) -> Iterator[Problem]:
        yield from within("norm", self.norm.check(x))
        if self.kernel % 2 == 0:
            yield even_kernel(self.kernel)

    def infer(self, x: TensorType, *, channels: int) -> TensorType:
        return x.wide(channels)

    def cost(self, x: TensorType, out: TensorType) -> Cost:
        return self.norm.cost(x, x) + costs.conv(x.channels, out, kernel=self.kernel)

    def build(self, x: TensorType, out: TensorType) -> nn.Module:
        from torch import nn

        from netspec.module import assemble, zeroed

        conv = nn.Conv2d(x.channels, out.channels, self.kernel, padding=self.kernel // 2)
        return assemble(
            self,
            norm=self.norm.build(x, x),
            act=nn.Identity() if isinstance(self.norm, NoNorm) else self.act.build(x, x),
            conv=zeroed(conv, self.zero_init),
        )

    def forward(self, m: Parts, x: Tensor) -> Tensor:
        return m.conv(m.act(m.norm(x)))  # type: ignore[no-any-return]  # a module's call is untyped
