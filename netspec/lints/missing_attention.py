"""Larger images without attention."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from netspec.fields import Param
from netspec.lints.facts import attending, denoising_unet, grid, side
from netspec.lints.rule import Finding, Lint
from netspec.plan import Plan


class MissingAttention(Lint, code="NS806"):
    """No attention at 16x16 or above for images of 64x64 and larger

    ## What it does

    Finds denoising U-Nets for 64x64 and more whose image attends to itself nowhere at 16x16 or above. Where it does so
    below 8x8 alone, NS805 speaks instead.

    ## Why it matters

    Convolutions reach a few pixels; what has to agree across an image (two eyes, a symmetry, an object's parts) travels
    through attention at 16x16 and 32x32. Ho et al. 2020, arXiv:2006.11239, App. B, have it at 16x16; Dhariwal & Nichol
    2021, arXiv:2105.05233, Table 1, improved FID by attention at 32x32, 16x16 and 8x8.

    ## Example

    ```yaml
    unet:                    # of an image of 64x64
      levels: [64, 128, 256, 512]   # `attention: full` at 16x16, the third level
    ```

    ## When to ignore

    For small machines, where attention has no kernel or no memory; for textures and restoration, whose structure is
    local; in a network to learn from.
    """

    image: Annotated[int, Param("side of an image that should have attention: Dhariwal & Nichol 2021, Sec. 3")] = 64
    least: Annotated[int, Param("side at which it should stand: Ho et al. 2020, App. B")] = 16
    deep: Annotated[int, Param("side below which NS805 speaks")] = 8

    def check(self, plan: Plan) -> Iterator[Finding]:
        found = denoising_unet(plan)
        if found is None or side(found[1]) < self.image:
            return
        largest = max((side(node.out) for node in attending(plan)), default=0)
        if largest < self.least and not 0 < largest < self.deep:
            yield self.at(
                ("unet", "levels"),
                f"no attention at {self.least}x{self.least} or above, for images of {grid(found[1])}",
                label=f"none above {largest}x{largest}" if largest else "convolutions alone",
                help=("write `attention: full` on the level of 16x16, or `transformer: 1`",),
            )
