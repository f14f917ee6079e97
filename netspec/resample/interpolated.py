"""Upsampling by interpolation, with or without a convolution after it."""

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


class Interpolated(Upsample):
    """Twice the size by interpolation, then a size-keeping convolution unless `kernel` is `none`."""

    kernel: Annotated[int | None, Param("kernel of the convolution, odd; `none` for no convolution", ge=1)] = 3

    def check(self, x: TensorType, c: TensorType | None = None, *, channels: int | None = None) -> Iterator[Problem]:
        if self.kernel is None:
            if channels not in (None, x.channels):
                yield Problem(
                    "NS308",
                    f"without a convolution `{self.name}` cannot go from {x.channels} to {channels} channels",
                    field="kernel",
                    label="keeps the channels",
                    subject=f"{x.channels} to {channels}",
                    help=("write `kernel: 3`, or let a block change the width: `narrow: this_block` or `next_block`",),
                )
        elif self.kernel % 2 == 0:
            yield even_kernel(self.kernel)

    def cost(self, x: TensorType, c: TensorType | None = None, *, out: TensorType) -> Cost:
        return costs.conv(x.channels, out, kernel=self.kernel) if self.kernel else Cost()

    def build(self, x: TensorType, c: TensorType | None = None, *, out: TensorType) -> nn.Module:
        from torch import nn

        from netspec.module import assemble

        if self.kernel is None:
            return assemble(self)
        return assemble(self, conv=nn.Conv2d(x.channels, out.channels, self.kernel, padding=self.kernel // 2))

    def _convolve(self, m: Parts, h: Tensor) -> Tensor:
        return m.conv(h) if self.kernel else h
