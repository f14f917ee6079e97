"""How many tokens patches make."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from netspec.fields import Param
from netspec.lints.facts import grid, pictured
from netspec.lints.rule import Finding, Lint
from netspec.plan import Plan
from netspec.wiring.patch import Patchify


class TokenCount(Lint, code="NS823"):
    """Patches that leave very few or very many tokens

    ## What it does

    Finds transformers whose patches make fewer than 64 or more than 16,384 tokens of an image of 32x32 or larger, at
    the `opt` size.

    ## Why it matters

    A transformer's quality goes with its work, and its work with the tokens: Peebles & Xie 2023, arXiv:2212.09748, Sec.
    5 and Fig. 6, find patches of 2 best at every size, and patches of 8 (16 tokens) far behind. Attention's work goes
    with their square: beyond 128x128 tokens it outweighs everything else, and published networks compress the tokens
    first (Chen et al. 2024, arXiv:2403.04692, Sec. 3.2).

    ## Example

    ```yaml
    dit:                     # of a latent of 32x32
      patch_size: 8          # 16 tokens; 2 makes 256
    ```

    ## When to ignore

    For sketches that must be fast, and to repeat that comparison.
    """

    least: Annotated[int, Param("tokens of an image: Peebles & Xie 2023, patches of 4 on 32x32")] = 64
    most: Annotated[int, Param("tokens of an image: Chen et al. 2024, 2048x2048 pixels")] = 16384

    def check(self, plan: Plan) -> Iterator[Finding]:
        found = pictured(plan)
        for node in plan if found else ():
            if found and isinstance(node.component, Patchify) and not self.least <= node.out.positions <= self.most:
                yield self.on(
                    node,
                    f"patches of {node.component.patch_size} leave {node.out.positions:,} tokens of {grid(found[1])}",
                    label=f"published: {self.least} to {self.most:,}",
                    help=("write a smaller patch",) if node.out.positions < self.least else ("write a larger patch",),
                )
