"""Bilinear upsampling and a convolution."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from netspec.fields import Param
from netspec.resample.interpolated import Interpolated

if TYPE_CHECKING:
    from torch import Tensor

    from netspec.module import Parts


class BilinearConv(Interpolated, name="bilinear"):
    """Interpolated, then a convolution. Odena et al. 2016, Distill, doi:10.23915/distill.00003."""

    example = "{type: bilinear, align_corners: true}"

    align_corners: Annotated[bool, Param("corner pixels keep their place and value")] = False

    def forward(self, m: Parts, x: Tensor, c: Tensor | None = None) -> Tensor:
        from netspec import ops

        return self._convolve(m, ops.upsample_bilinear(x, 2, self.align_corners))
