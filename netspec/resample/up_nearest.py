"""Nearest-neighbour upsampling and a convolution."""

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


class NearestConv(Upsample, name="nearest"):
    """Pixels doubled, then a convolution: no checkerboard. Odena et al. 2016, Distill, doi:10.23915/distill.00003."""

    example = "nearest"

    kernel: Annotated[int, Param("kernel, odd", ge=1)] = 3

    def check(self, x: TensorType, c: TensorType | None = None, *, channels: int | None = None) -> Iterator[Problem]:
        if self.kernel % 2 == 0:
            yield even_kernel(self.kernel)

    def cost(self, x: TensorType, c: TensorType | None = None, *, out: TensorType) -> Cost:
        return costs.conv(x.channels, out, kernel=self.kernel)

    def build(self, x: TensorType, c: TensorType | None = None, *, out: TensorType) -> nn.Module:
        from torch import nn

        from netspec.module import assemble

        return assemble(self, conv=nn.Conv2d(x.channels, out.channels, self.kernel, padding=self.kernel // 2))

    def forward(self, m: Parts, x: Tensor, c: Tensor | None = None) -> Tensor:
        from netspec import ops

        return m.conv(ops.upsample_nearest(x, 2))  # type: ignore[no-any-return]  # a module's call is untyped
