"""Large images without a latent."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from netspec.analysis.tables import amount
from netspec.fields import Param
from netspec.lints.facts import denoising_unet, grid, pictured, rows, side
from netspec.lints.rule import Finding, Lint
from netspec.plan import Plan


class PixelSpace(Lint, code="NS813"):
    """U-Net on pixels of 512x512 and larger

    ## What it does

    Finds denoising U-Nets whose image has one or three channels and a side of 512 or more. Whether three channels are
    colours or a latent a plan cannot know; latents of that size are not published.

    ## Why it matters

    At 512x512 one activation of 128 channels has 34 million numbers, and most of the work goes into detail that nobody
    sees. An autoencoder takes it out at a small loss: Rombach et al. 2022, arXiv:2112.10752, Sec. 4.1, find factors of
    4 to 16 best. Denoisers at 512 and more are U-Nets or transformers on latents (Podell et al. 2023, arXiv:2307.01952;
    Esser et al. 2024, arXiv:2403.03206), or cascades that start small (Saharia et al. 2022, arXiv:2205.11487).

    ## Example

    ```yaml
    inputs:
      x: [batch, 3, 512, 512]   # [batch, 4, 64, 64], and `autoencoder` for the rest
    ```

    ## When to ignore

    Where a latent would lose what counts (medical images, super-resolution), and for the networks that show that pixels
    do work: Hoogeboom et al. 2023, arXiv:2301.11093.
    """

    image: Annotated[int, Param("side from which latents are usual: Rombach et al. 2022")] = 512

    def check(self, plan: Plan) -> Iterator[Finding]:
        found, named, levels = denoising_unet(plan), pictured(plan), rows(plan)
        if found is None or named is None or not levels:
            return
        name, image = named
        if image.channels in (1, 3) and side(image) >= self.image:
            first = levels[0].image
            numbers = first.positions * first.channels
            yield self.at(
                ("inputs", name),
                f"a U-Net on pixels of {grid(image)}",
                label=f"one activation of the first level: {amount(4 * numbers)} a sample in float32",
                help=("denoise a latent: an `autoencoder` of factor 8 makes it 64 times smaller",),
            )
