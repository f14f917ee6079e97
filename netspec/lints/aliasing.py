"""Strided convolutions on large images."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from netspec.fields import Param
from netspec.lints.facts import denoises, grid, side
from netspec.lints.rule import Finding, Lint
from netspec.plan import Plan
from netspec.resample.down_conv import StridedConv
from netspec.resample.down_conv_conv import ConvStridedConv


class Aliasing(Lint, code="NS814"):
    """Strided convolution on images larger than 256x256

    ## What it does

    Finds denoisers that halve images of more than 256x256 by a convolution of stride 2, without a blur or an average.

    ## Why it matters

    Taking every second pixel folds what is finer than two pixels into coarse patterns. Noise is all fine, and the
    larger the image the more of it. A blur before (Zhang 2019, arXiv:1904.11486) or an average inside a residual block
    (Brock et al. 2019, arXiv:1809.11096; Dhariwal & Nichol 2021, arXiv:2105.05233, Table 1) avoids it; Karras et al.
    2021, arXiv:2106.12423, show what aliasing does to generated images.

    ## Example

    ```yaml
    unet:                    # of an image of 512x512
      downsample: conv       # resnet, avgpool or blurpool
    ```

    ## When to ignore

    For published weights. A convolution can learn to blur, so the harm is smaller than that of max pooling.
    """

    image: Annotated[int, Param("side up to which strided convolutions are usual: Ho et al. 2020")] = 256

    def check(self, plan: Plan) -> Iterator[Finding]:
        for node in plan if denoises(plan) else ():
            if isinstance(node.component, StridedConv | ConvStridedConv) and side(node.types[0]) > self.image:
                yield self.on(
                    node,
                    f"every second pixel of {grid(node.types[0])} is dropped without a blur",
                    label="aliases",
                    help=("write `downsample: resnet`, `avgpool` or `blurpool`",),
                )
