"""The width of the first level."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from netspec.fields import Param
from netspec.lints.facts import denoising_unet, grid, rows, side
from netspec.lints.rule import Finding, Lint
from netspec.plan import Plan


class BaseWidth(Lint, code="NS811"):
    """First level narrower or wider than any that is published

    ## What it does

    Finds denoising U-Nets whose first level has fewer than 64 or more than 384 channels; for images of more than
    128x128, more than 256.

    ## Why it matters

    The first level sees every pixel and gives the vector its width, so it sets quality and cost of the whole.
    Published: 128 (Ho et al. 2020, arXiv:2006.11239), 128 to 256 (Dhariwal & Nichol 2021, arXiv:2105.05233), 160 to 320
    on latents (Rombach et al. 2022, arXiv:2112.10752), up to 384 (Podell et al. 2023, arXiv:2307.01952, the refiner);
    64 in video-diffusion-pytorch, a re-implementation of Ho et al. 2022, arXiv:2204.03458.

    ## Example

    ```yaml
    unet:                    # of an image of 64x64
      base_channels: 32      # 128 or 192
    ```

    ## When to ignore

    For small machines, for toy data, and where a network is meant to be taken apart rather than used.
    """

    least: Annotated[int, Param("narrowest first level: video-diffusion-pytorch")] = 64
    most: Annotated[int, Param("widest first level: Podell et al. 2023")] = 384
    large: Annotated[int, Param("side of images above which the first level costs most")] = 128
    most_large: Annotated[int, Param("widest first level of those: Dhariwal & Nichol 2021")] = 256

    def check(self, plan: Plan) -> Iterator[Finding]:
        found, levels = denoising_unet(plan), rows(plan)
        if found is None or not levels:
            return
        family, image = found
        first, most = levels[0], self.most_large if side(image) > self.large else self.most
        if not self.least <= first.width <= most:
            yield self.at(
                ("unet", "base_channels") if family.base_channels else first.path,
                f"a first level of {first.width} channels, for images of {grid(image)}",
                label=f"published: {self.least} to {most}",
                help=("128 is the most usual width",),
            )
