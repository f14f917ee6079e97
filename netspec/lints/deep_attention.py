"""Attention where nothing is left to look at."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from netspec.fields import Param
from netspec.lints.facts import attending, denoising_unet, grid, side
from netspec.lints.rule import Finding, Lint
from netspec.plan import Plan


class DeepAttention(Lint, code="NS805"):
    """Attention only below 8x8

    ## What it does

    Finds U-Nets whose image attends to itself, but nowhere at 8x8 or more.

    ## Why it matters

    On 4x4 positions a convolution of 3x3 sees nearly everything already, so attention adds little there. Ho et al.
    2020, arXiv:2006.11239, App. B, attend at 16x16; Dhariwal & Nichol 2021, arXiv:2105.05233, Table 1, found 32x32,
    16x16 and 8x8 together better than 16x16 alone.

    ## Example

    ```yaml
    unet:                    # of an image of 32x32
      levels: [128, 256, 256, {channels: 256, attention: full}]   # 4x4: attend one or two levels above
    ```

    ## When to ignore

    When all that is wanted is to mix the few positions of a bottleneck cheaply.
    """

    smallest: Annotated[int, Param("side at which some attention should stand: Dhariwal & Nichol 2021, Table 1")] = 8

    def check(self, plan: Plan) -> Iterator[Finding]:
        nodes = attending(plan) if denoising_unet(plan) else []
        if nodes and all(side(node.out) < self.smallest for node in nodes):
            largest = max(nodes, key=lambda node: side(node.out))
            yield self.on(
                largest,
                f"attention at {grid(largest.out)} alone",
                label="a 3x3 convolution sees nearly all of it",
                help=("write `attention: full` on a level of 8x8 to 32x32",),
            )
