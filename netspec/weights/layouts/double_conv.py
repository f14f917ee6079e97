"""The checkpoints of the batch-norm U-Nets whose levels are two convolutions in a row."""

from __future__ import annotations

from collections.abc import Iterator

from netspec.blocks.conv import Conv
from netspec.families.unet import UNet
from netspec.norms.batch import BatchNorm
from netspec.plan import Plan
from netspec.resample.up_conv_transpose import TransposedConv
from netspec.weights.layouts import Layout, Sign
from netspec.weights.layouts.nodes import Spot, spot
from netspec.weights.layouts.table import Place, row
from netspec.wiring.head import HeadConv


class DoubleConv(Layout, name="double_conv"):
    """milesial/Pytorch-UNet and the many that grew from it: `inc`, `down1` …, `up1` …, `outc`.

    Decoder levels count from the deepest; a `DoubleConv` is conv, norm, act, conv, norm, act in one sequence, and
    running means and variances travel with their norms.
    """

    signs = (Sign("unet", "inc.double_conv.0.weight", "down1.maxpool_conv.1.double_conv.0.weight", "outc.conv.weight"),)

    def places(self, plan: Plan) -> Iterator[Place]:
        if not isinstance(plan.spec.family, UNet):
            return
        deepest = len(plan.spec.family.levels) - 1
        for node in plan:
            match node.component, spot(node):
                case Conv(norm=BatchNorm()), Spot(part="block", index=0 | 1 as index) as place:
                    rows = (row("conv", str(3 * index)), row("norm", str(3 * index + 1)))
                    yield Place(node, f"{_level(place, deepest)}.double_conv", rows)
                case TransposedConv(), Spot(level=level):
                    yield Place(node, f"up{deepest - level + 1}", (row("conv", "up"),))
                case HeadConv(), _:
                    yield Place(node, "outc", (row("conv", "conv"),))


def _level(place: Spot, deepest: int) -> str:
    """Where a level's two convolutions lie."""
    if place.side == "up":
        return f"up{deepest - place.level}.conv"
    return f"down{place.level}.maxpool_conv.1" if place.level else "inc"
