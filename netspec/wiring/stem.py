"""The convolution that a U-Net begins with."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

from netspec import costs, tensors
from netspec.blocks import even_kernel
from netspec.costs import Cost
from netspec.fields import Param
from netspec.problems import Problem
from netspec.tensors import TensorType
from netspec.wiring import Wiring

if TYPE_CHECKING:
    from torch import nn


class StemConv(Wiring, name="stem"):
    """A size-keeping convolution from the input's channels to the first level's. Ho et al. 2020, arXiv:2006.11239."""

    role = "stem"

    kernel: Annotated[int, Param("kernel, odd", ge=1)] = 3

    trial = (tensors.image(tensors.fixed(2), 3, tensors.fixed(8), tensors.fixed(6)),)
    trial_channels = 16

    def check(self, x: TensorType, channels: int) -> Iterator[Problem]:
        if self.kernel % 2 == 0:
            yield even_kernel(self.kernel)

    def infer(self, x: TensorType, *, channels: int) -> TensorType:
        return x.wide(channels)

    def cost(self, x: TensorType, out: TensorType) -> Cost:
        return costs.conv(x.channels, out, kernel=self.kernel)

    def build(self, x: TensorType, out: TensorType) -> nn.Module:
        from torch import nn

        return nn.Conv2d(x.channels, out.channels, self.kernel, padding=self.kernel // 2)
