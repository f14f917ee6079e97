"""The checkpoints of latent diffusion's autoencoders."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from netspec.attention.full import FullAttention
from netspec.blocks.resnet import Resnet
from netspec.families.autoencoder import Autoencoder
from netspec.plan import Node, Plan
from netspec.registry import Component
from netspec.resample.down_conv import StridedConv
from netspec.resample.up_nearest import NearestConv
from netspec.weights.layouts import Layout, Sign
from netspec.weights.layouts.nodes import Spot, rule, spot
from netspec.weights.layouts.table import Place, Table, row
from netspec.weights.layouts.transforms import Pointwise
from netspec.wiring.head import HeadConv
from netspec.wiring.quant import QuantConv
from netspec.wiring.stem import StemConv

_CONV = Pointwise(axes=2)  # a convolution of one pixel for our linear layer

_TABLES: Mapping[type[Component], Table] = {
    StemConv: (row("", ""),),
    Resnet: (
        row("norm1", "norm1"),
        row("conv1", "conv1"),
        row("norm2", "norm2"),
        row("conv2", "conv2"),
        row("shortcut", "nin_shortcut"),
    ),
    FullAttention: (
        row("norm", "norm"),
        row("q", "q", _CONV),
        row("k", "k", _CONV),
        row("v", "v", _CONV),
        row("out", "proj_out", _CONV),
    ),
    StridedConv: (row("conv", "conv"),),
    NearestConv: (row("conv", "conv"),),
    HeadConv: (row("norm", "norm_out"), row("conv", "conv_out")),
}


@dataclass(frozen=True, kw_only=True)
class Kl(Layout, name="kl"):
    """CompVis/latent-diffusion and stable-diffusion, Stability-AI/generative-models, black-forest-labs/flux:
    `AutoencoderKL` and `AutoEncoder`, whose `Encoder` and `Decoder` are those of taming-transformers."""

    signs = (
        Sign("autoencoder", "encoder.mid.block_1.norm1.weight", "encoder.norm_out.weight"),
        Sign("autoencoder", "decoder.mid.block_1.norm1.weight", "decoder.norm_out.weight"),
    )

    def beside(self, plan: Plan) -> tuple[str, ...]:
        """The other half's, those of what it was trained with, and a codebook: latents are quantised by the caller."""
        return (*other_half(plan), "loss.", CODEBOOK)

    def places(self, plan: Plan) -> Iterator[Place]:
        for node in plan if isinstance(plan.spec.family, Autoencoder) else ():
            if (table := rule(_TABLES, node)) is not None:
                yield Place(node, _prefix(node), table)


def _prefix(node: Node) -> str:
    """`encoder.down.1.block.0`; decoder levels too count from full resolution."""
    part = node.name.partition("_")[0]
    match spot(node, part):
        case Spot("mid", _, kind, index):
            return f"{part}.mid.{kind}_{index + 1}"
        case Spot(side, level, "downsample" | "upsample" as kind):
            return f"{part}.{side}.{level}.{kind}"
        case Spot(side, level, kind, index):
            return f"{part}.{side}.{level}.{kind}.{index}"
        case _ if isinstance(node.component, QuantConv):
            return QUANT[part]
        case _:
            return f"{part}.conv_in" if isinstance(node.component, StemConv) else part


QUANT = {"encoder": "quant_conv", "decoder": "post_quant_conv"}
CODEBOOK = "quantize."


def other_half(plan: Plan) -> Iterator[str]:
    """How the keys of the halves begin that a plan does without."""
    present = {node.name.partition("_")[0] for node in plan}
    for half, quant in QUANT.items():
        if half not in present:
            yield from (f"{half}.", f"{quant}.")
