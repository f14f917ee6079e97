"""Group norms that see too little."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from netspec.errors import path_text
from netspec.fields import Param
from netspec.lints.facts import holding
from netspec.lints.rule import Finding, Lint
from netspec.norms.group import GroupNorm
from netspec.plan import Node, Plan
from netspec.wiring.head import HeadConv


class SmallGroups(Lint, code="NS809"):
    """Groups of fewer than four channels

    ## What it does

    Finds group norms whose groups have fewer than four channels, on 64 channels and more.

    ## Why it matters

    A group norm takes away the mean and the scale of each group. The smaller the groups, the more of what channels say
    by their strength is lost; with one channel a group it is an instance norm, which Wu & He 2018, arXiv:1803.08494,
    Table 3, found worst. The networks of Karras et al. 2022, arXiv:2206.00364, have as many groups as leave four
    channels in each, 32 at most.

    ## Example

    ```yaml
    unet:
      levels: [64, 128]
      block: {norm: {groups: 32}}   # two of the 64 channels in each; 16 groups leave four
    ```

    ## When to ignore

    For published weights, and where a narrow first level shall share its number of groups with wide ones.
    """

    channels: Annotated[int, Param("channels that a group should have: Karras et al. 2022, released code")] = 4
    narrowest: Annotated[int, Param("width below which groups can only be few or small")] = 64

    def check(self, plan: Plan) -> Iterator[Finding]:
        for node, field, norm in holding(plan, GroupNorm):
            width = _normed(node)
            if width >= self.narrowest and width < self.channels * norm.groups:
                written = path_text((*node.origin.at, *field.split("."), "groups"))
                yield self.on(
                    node,
                    f"{width} channels in {norm.groups} groups: {width / norm.groups:g} in each",
                    field=f"{field}.groups",
                    label=f"{norm.groups} groups",
                    subject=str(width),
                    help=(f"set `{written}` to {self._most(width)}, and so in every norm of these channels",),
                )

    def _most(self, width: int) -> int:
        """As many groups as divide a width and leave enough channels in each."""
        return next(count for count in range(width // self.channels, 0, -1) if width % count == 0)


def _normed(node: Node) -> int:
    """The fewest channels that a node's norm gets: those that it makes; of the head, those that it is given."""
    return node.types[0].channels if isinstance(node.component, HeadConv) else node.out.channels
