"""Widths that hardware and norms do not like."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from netspec.errors import SpecPath
from netspec.families.dit import DiT
from netspec.fields import Param
from netspec.lints.facts import holding, rows
from netspec.lints.rule import Finding, Lint
from netspec.norms.group import GroupNorm
from netspec.plan import Plan


class OddWidth(Lint, code="NS808"):
    """Channels that are no multiple of 8, or of 32 under group norm

    ## What it does

    Finds levels and tokens whose width 8 does not divide, and levels of 64 channels and more under group norm whose
    width 32 does not divide.

    ## Why it matters

    Tensor cores multiply half-precision matrices in tiles of 8: other widths are padded or run on slower units (NVIDIA,
    Deep Learning Performance Guide, "Tensor Core requirements"). Group norm has 32 groups in nearly every published
    network (Wu & He 2018, arXiv:1803.08494, Sec. 3.1), and a width that they do not divide needs another number in
    every norm.

    ## Example

    ```yaml
    unet:
      base_channels: 100   # 96 or 128
    ```

    ## When to ignore

    For published weights, and where a pruned network has the widths that pruning left.
    """

    tile: Annotated[int, Param("channels that tensor cores take at once in half precision: NVIDIA")] = 8
    groups: Annotated[int, Param("groups of a group norm: Wu & He 2018")] = 32
    narrowest: Annotated[int, Param("width from which so many groups have two channels each")] = 64

    def check(self, plan: Plan) -> Iterator[Finding]:
        grouped = next(holding(plan, GroupNorm), None) is not None
        for path, width in self._widths(plan):
            if width % self.tile:
                yield self._finding(path, width, self.tile, "tensor cores take 8 channels at a time")
            elif grouped and width >= self.narrowest and width % self.groups:
                yield self._finding(path, width, self.groups, "32 groups do not fit")

    def _widths(self, plan: Plan) -> Iterator[tuple[SpecPath, int]]:
        for row in rows(plan):
            yield row.path, row.width
        if isinstance(plan.spec.family, DiT):
            yield ("dit", "hidden_size"), plan.spec.family.hidden_size

    def _finding(self, path: SpecPath, width: int, divisor: int, why: str) -> Finding:
        below, above = width // divisor * divisor, -(-width // divisor) * divisor
        near = f"{below} or {above}" if below else str(above)
        message = f"{width} channels are no multiple of {divisor}"
        return self.at(path, message, label=why, help=(f"nearest: {near}",))
