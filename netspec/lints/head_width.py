"""Widths of attention heads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from netspec.attention import Heads, Scores
from netspec.fields import Param
from netspec.lints.facts import scores
from netspec.lints.rule import Finding, Lint
from netspec.plan import Node, Plan


class HeadWidth(Lint, code="NS807"):
    """Attention heads of an unusual width

    ## What it does

    Finds heads that fused kernels pad (40, 72, 80, 160), that no such kernel takes (more than 256), or that are far
    from the 64 channels that work best (less than 32, more than 128). Networks narrower than 64 channels are left
    alone.

    ## Why it matters

    FlashAttention is compiled for heads of 32, 64, 96, 128, 192 and 256 channels and pads all others up to the next, so
    that 40 channels cost as much as 64; above 256 there is none, and attention falls back to kernels that store all
    scores (Dao 2023, arXiv:2307.08691; github.com/Dao-AILab/flash-attention). Of the widths that they tried, Dhariwal &
    Nichol 2021, arXiv:2105.05233, Table 2, found 64 channels best for FID and time together.

    ## Example

    ```yaml
    unet:
      levels: [{channels: 320, attention: full}]
      attention: {num_heads: 8}   # 40 channels each; `head_dim: 64` makes five heads
    ```

    ## When to ignore

    For published weights: the number of heads is a part of what they mean. On processors without such kernels, which do
    not care.
    """

    kernels: Annotated[tuple[int, ...], Param("widths that kernels are compiled for: Dao 2023")] = (
        32, 64, 96, 128, 192, 256,
    )  # fmt: skip
    least: Annotated[int, Param("narrowest that is near 64: Dhariwal & Nichol 2021, Table 2")] = 32
    most: Annotated[int, Param("widest that is near 64: Dhariwal & Nichol 2021, Table 2")] = 128
    narrowest: Annotated[int, Param("channels of a network that can have heads of 64")] = 64

    def check(self, plan: Plan) -> Iterator[Finding]:
        for node, each in scores(plan):
            channels = node.types[0].channels
            if channels >= self.narrowest and (why := self._why(each.head_dim)):
                yield self._finding(node, each, channels, why)

    def _why(self, width: int) -> str:
        """What is wrong with a width; "" for nothing."""
        fitting = next((kernel for kernel in self.kernels if kernel >= width), None)
        if fitting is None:
            return "wider than any fused kernel"
        if width < self.least or width > self.most:
            return "far from the 64 that work best"
        return f"fused kernels pad them to {fitting}" if fitting != width else ""

    def _finding(self, node: Node, each: Scores, channels: int, why: str) -> Finding:
        assert isinstance(node.component, Heads)  # or it would have no scores
        return self.on(
            node,
            f"heads of {each.head_dim} channels: {why}",
            field=node.component.split,
            label=f"{each.heads} x {each.head_dim}",
            subject=f"{channels} channels in heads of {each.head_dim}",
            help=("write `head_dim: 64` instead",) if channels % 64 == 0 else (),
        )
