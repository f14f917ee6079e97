"""UNet2DModel and UNet2DConditionModel."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TypeAlias

from netspec.attention.full import FullAttention
from netspec.attention.spatial import SpatialTransformer
from netspec.blocks.resnet import Resnet
from netspec.embeds.label import Label
from netspec.embeds.mlp import Mlp
from netspec.embeds.sinusoidal import Sinusoidal
from netspec.families.unet import UNet
from netspec.plan import Node, Plan
from netspec.registry import Component
from netspec.resample.down_conv import StridedConv
from netspec.resample.down_resnet import ResnetDown
from netspec.resample.up_nearest import NearestConv
from netspec.resample.up_resnet import ResnetUp
from netspec.weights.layouts import Sign
from netspec.weights.layouts.diffusers import Diffusers, Scheme
from netspec.weights.layouts.ldm import TRANSFORMER
from netspec.weights.layouts.nodes import rule, spot
from netspec.weights.layouts.table import Place, Row, Table, row
from netspec.weights.layouts.transforms import Pointwise
from netspec.wiring.head import HeadConv
from netspec.wiring.stem import StemConv

RESNET = (
    row("norm1", "norm1"),
    row("conv1", "conv1"),
    row("linear_c", "time_emb_proj"),
    row("norm2", "norm2"),
    row("conv2", "conv2"),
    row("shortcut", "conv_shortcut"),
)
ATTENTION = (  # before 0.15 these were other words, and the published DDPM files still have them
    row("norm", "group_norm"),
    row("q", "to_q", formerly="query"),
    row("k", "to_k", formerly="key"),
    row("v", "to_v", formerly="value"),
    row("out", "to_out.0", formerly="proj_attn"),
)
MLP = (row("linear1", "linear_1"), row("linear2", "linear_2"))


class UNetScheme(Scheme, of="UNet2DConditionModel"):
    """`UNet2DModel` has the same names."""

    signs = (Sign("unet", "time_embedding.linear_1.weight", "conv_in.weight", "down_blocks.0.resnets.0.norm1.weight"),)

    @classmethod
    def fits(cls, plan: Plan) -> bool:
        return isinstance(plan.spec.family, UNet)

    @classmethod
    def places(cls, plan: Plan, layout: Diffusers) -> Iterator[Place]:
        assert isinstance(plan.spec.family, UNet)
        deepest = len(plan.spec.family.levels) - 1
        for node in plan:
            if (found := rule(_RULES, node)) is not None:
                prefix, rows = found(layout)
                yield Place(node, _spot_prefix(node, deepest) or prefix, rows)


def _spot_prefix(node: Node, deepest: int) -> str:
    """`up_blocks.1.resnets.2`; decoder levels count from the deepest."""
    place = spot(node)
    if place is None:
        return ""
    sides = {"down": f"down_blocks.{place.level}", "mid": "mid_block", "up": f"up_blocks.{deepest - place.level}"}
    parts = {
        "block": f"resnets.{place.index}",
        "attn": f"attentions.{place.index}",
        "transformer": f"attentions.{place.index}",
        "downsample": "downsamplers.0",
        "upsample": "upsamplers.0",
    }
    return f"{sides[place.side]}.{parts[place.part]}"


def _once(prefix: str, *rows: Row) -> _Rule:
    return lambda layout: (prefix, rows)


def _transformer(layout: Diffusers) -> tuple[str, Table]:
    projection = Pointwise(axes=2 if layout.projections == "conv" else 0)
    ends = (row("proj_in", "proj_in", projection), row("proj_out", "proj_out", projection))
    return "", (row("norm", "norm"), *ends, *TRANSFORMER)


_Rule: TypeAlias = Callable[[Diffusers], tuple[str, Table]]

_RULES: Mapping[type[Component], _Rule] = {
    Sinusoidal: _once("time_embedding", *MLP),
    Label: _once("class_embedding", row("table", "")),
    Mlp: lambda layout: (layout.vector, MLP),
    StemConv: _once("conv_in", row("", "")),
    Resnet: _once("", *RESNET),
    ResnetDown: _once("", *RESNET),
    ResnetUp: _once("", *RESNET),
    StridedConv: _once("", row("conv", "conv")),
    NearestConv: _once("", row("conv", "conv")),
    FullAttention: _once("", *ATTENTION),
    SpatialTransformer: _transformer,
    HeadConv: _once("", row("norm", "conv_norm_out"), row("conv", "conv_out")),
}
