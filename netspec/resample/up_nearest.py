"""Nearest-neighbour upsampling and a convolution."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netspec.resample.interpolated import Interpolated

if TYPE_CHECKING:
    from torch import Tensor

    from netspec.module import Parts


class NearestConv(Interpolated, name="nearest"):
    """Pixels doubled, then a convolution: no checkerboard. Odena et al. 2016, Distill, doi:10.23915/distill.00003."""

    example = "nearest"

    def forward(self, m: Parts, x: Tensor, c: Tensor | None = None) -> Tensor:
        from netspec import ops

        return self._convolve(m, ops.upsample_nearest(x, 2))
