"""Pixels into channels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netspec import costs
from netspec.costs import Cost
from netspec.resample import Downsample
from netspec.tensors import TensorType

if TYPE_CHECKING:
    from torch import Tensor, nn

    from netspec.module import Parts


class PixelUnshuffle(Downsample, name="pixel_unshuffle"):
    """Each 2x2 window becomes four times the channels, a 1x1 convolution brings them back. Shi et al. 2016,
    arXiv:1609.05158, Sec. 3.2, inverted.
    """

    example = "pixel_unshuffle"

    def cost(self, x: TensorType, c: TensorType | None = None, *, out: TensorType) -> Cost:
        return costs.conv(4 * x.channels, out, kernel=1)

    def build(self, x: TensorType, c: TensorType | None = None, *, out: TensorType) -> nn.Module:
        from torch import nn

        from netspec.module import assemble

        return assemble(self, unshuffle=nn.PixelUnshuffle(2), conv=nn.Conv2d(4 * x.channels, out.channels, 1))

    def forward(self, m: Parts, x: Tensor, c: Tensor | None = None) -> Tensor:
        return m.conv(m.unshuffle(x))  # type: ignore[no-any-return]  # a module's call is untyped
