"""How far a U-Net halves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from netspec.fields import Param
from netspec.lints.facts import denoising_unet, grid, rows, side
from netspec.lints.rule import Finding, Lint
from netspec.plan import Plan


class LevelCount(Lint, code="NS812"):
    """Too few or too many levels for the resolution

    ## What it does

    Finds denoising U-Nets whose deepest level is larger than 16x16 or smaller than 4x4 at the `opt` size.

    ## Why it matters

    The deepest level is where the whole image meets. Above 16x16 the convolutions there do not reach across it; below
    4x4 hardly anything is left to compute on, and sizes must be multiples of a large power of two. Ho et al. 2020,
    arXiv:2006.11239, App. B: 32 to 4 in four levels, 256 to 8 in six. Dhariwal & Nichol 2021, arXiv:2105.05233: down to
    8x8 from 64, 128, 256 and 512. Hoogeboom et al. 2023, arXiv:2301.11093, Sec. 3.3, put the most work at 16x16.

    ## Example

    ```yaml
    unet:                    # of an image of 256x256
      levels: [128, 256, 512]   # 64x64 at the deepest: two or three levels more
    ```

    ## When to ignore

    Where transformers at the deepest level do what depth would (Podell et al. 2023, arXiv:2307.01952, Sec. 2.1), and
    for restoration, whose structure is local.
    """

    least: Annotated[int, Param("side of the deepest level: Ho et al. 2020, App. B")] = 4
    most: Annotated[int, Param("side of the deepest level: Hoogeboom et al. 2023, Sec. 3.3")] = 16

    def check(self, plan: Plan) -> Iterator[Finding]:
        found, levels = denoising_unet(plan), rows(plan)
        if found is None or not levels:
            return
        deepest = levels[-1].image
        if not self.least <= side(deepest) <= self.most:
            few = side(deepest) > self.most
            yield self.at(
                ("unet", "levels"),
                f"levels end at {grid(deepest)}, for images of {grid(found[1])}",
                label=f"published: {self.least}x{self.least} to {self.most}x{self.most}",
                help=("add a level",) if few else ("take a level out",),
            )
