"""Levels wider than any that is published."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from netspec.families.unet import UNet
from netspec.fields import Param
from netspec.lints.facts import rows
from netspec.lints.rule import Finding, Lint
from netspec.plan import Plan


class WideLevel(Lint, code="NS810"):
    """Level of more than 1,280 channels

    ## What it does

    Finds levels of a U-Net that are wider than 1,280 channels.

    ## Why it matters

    A 3x3 convolution has nine times the square of its width in weights: 2,048 channels take 38 million for one.
    Published U-Nets stop at 1,024 (Dhariwal & Nichol 2021, arXiv:2105.05233) or 1,280 (Rombach et al. 2022,
    arXiv:2112.10752), and larger ones grew in blocks and transformers instead (Podell et al. 2023, arXiv:2307.01952,
    Table 1; Hoogeboom et al. 2023, arXiv:2301.11093, Sec. 3.3).

    ## Example

    ```yaml
    unet:
      base_channels: 512
      levels: [{multiplier: 1}, {multiplier: 4}]   # 2,048: a third level, or `blocks: 4`, instead
    ```

    ## When to ignore

    When the budget is there and the deepest level is small: few positions make the multiplications cheap.
    """

    most: Annotated[int, Param("channels of the widest usual level: Rombach et al. 2022")] = 1280

    def check(self, plan: Plan) -> Iterator[Finding]:
        for row in rows(plan) if isinstance(plan.spec.family, UNet) else ():
            if row.width > self.most:
                weights = 9 * row.width**2
                yield self.at(
                    row.path,
                    f"a level of {row.width:,} channels",
                    label=f"{weights / 1e6:,.0f} million weights in each 3x3 convolution",
                    help=("more blocks or transformers at this level, or one level more",),
                )
