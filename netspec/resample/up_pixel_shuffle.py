"""Channels into pixels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

from netspec import costs
from netspec.blocks import even_kernel
from netspec.costs import Cost
from netspec.fields import Param
from netspec.problems import Problem
from netspec.resample import Upsample
from netspec.tensors import TensorType

if TYPE_CHECKING:
    from torch import Tensor, nn

    from netspec.module import Parts


class PixelShuffle(Upsample, name="pixel_shuffle"):
    """A convolution to four times the channels, which become 2x2 windows. Shi et al. 2016, arXiv:1609.05158."""

    example = "{type: pixel_shuffle, kernel: 3}"

    kernel: Annotated[int, Param("kernel of the convolution before the shuffle, odd", ge=1)] = 1

    def check(self, x: TensorType, c: TensorType | None = None, *, channels: int | None = None) -> Iterator[Problem]:
        if self.kernel % 2 == 0:
            yield even_kernel(self.kernel)

    def cost(self, x: TensorType, c: TensorType | None = None, *, out: TensorType) -> Cost:
        return costs.conv(x.channels, x.wide(4 * out.channels), kernel=self.kernel)

    def build(self, x: TensorType, c: TensorType | None = None, *, out: TensorType) -> nn.Module:
        from torch import nn

        from netspec.module import assemble

        conv = nn.Conv2d(x.channels, 4 * out.channels, self.kernel, padding=self.kernel // 2)
        return assemble(self, conv=conv, shuffle=nn.PixelShuffle(2))

    def forward(self, m: Parts, x: Tensor, c: Tensor | None = None) -> Tensor:
        return m.shuffle(m.conv(x))  # type: ignore[no-any-return]  # a module's call is untyped
