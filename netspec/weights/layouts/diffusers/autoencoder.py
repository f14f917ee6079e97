"""AutoencoderKL."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from netspec.attention.full import FullAttention
from netspec.blocks.resnet import Resnet
from netspec.families.autoencoder import Autoencoder
from netspec.plan import Node, Plan
from netspec.registry import Component
from netspec.resample.down_conv import StridedConv
from netspec.resample.up_nearest import NearestConv
from netspec.weights.layouts import Sign
from netspec.weights.layouts.diffusers import Diffusers, Scheme
from netspec.weights.layouts.diffusers.unet import ATTENTION, RESNET
from netspec.weights.layouts.kl import CODEBOOK, QUANT, other_half
from netspec.weights.layouts.nodes import Spot, rule, spot
from netspec.weights.layouts.table import Place, Table, row
from netspec.wiring.head import HeadConv
from netspec.wiring.quant import QuantConv
from netspec.wiring.stem import StemConv

_TABLES: Mapping[type[Component], Table] = {
    StemConv: (row("", ""),),
    Resnet: RESNET,
    FullAttention: ATTENTION,
    StridedConv: (row("conv", "conv"),),
    NearestConv: (row("conv", "conv"),),
    HeadConv: (row("norm", "conv_norm_out"), row("conv", "conv_out")),
}


class AutoencoderScheme(Scheme, of="AutoencoderKL"):
    """Both halves of an autoencoder, or one of them. `VQModel` has the same names, and a codebook beside them."""

    signs = (
        Sign("autoencoder", "encoder.conv_in.weight", "encoder.conv_norm_out.weight"),
        Sign("autoencoder", "decoder.conv_in.weight", "decoder.conv_norm_out.weight"),
    )

    @classmethod
    def fits(cls, plan: Plan) -> bool:
        return isinstance(plan.spec.family, Autoencoder)

    @classmethod
    def beside(cls, plan: Plan) -> tuple[str, ...]:
        return (*other_half(plan), CODEBOOK)

    @classmethod
    def places(cls, plan: Plan, layout: Diffusers) -> Iterator[Place]:
        assert isinstance(plan.spec.family, Autoencoder)
        deepest = len(plan.spec.family.levels) - 1
        for node in plan:
            if (table := rule(_TABLES, node)) is not None:
                yield Place(node, _prefix(node, deepest), table)


def _prefix(node: Node, deepest: int) -> str:
    """`decoder.up_blocks.1.resnets.2`; decoder levels count from the deepest."""
    part = node.name.partition("_")[0]
    match spot(node, part):
        case Spot("mid", _, kind, index):
            return f"{part}.mid_block.{_PARTS[kind].format(index)}"
        case Spot(side, level, kind, index):
            number = level if side == "down" else deepest - level
            return f"{part}.{side}_blocks.{number}.{_PARTS[kind].format(index)}"
        case _ if isinstance(node.component, QuantConv):
            return QUANT[part]
        case _:
            return f"{part}.conv_in" if isinstance(node.component, StemConv) else part


_PARTS = {
    "block": "resnets.{}",
    "attn": "attentions.{}",
    "downsample": "downsamplers.0",
    "upsample": "upsamplers.0",
}
