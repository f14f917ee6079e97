"""The checkpoints of diffusers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from netspec.attention.full import FullAttention
from netspec.attention.spatial import SpatialTransformer
from netspec.blocks.resnet import Resnet
from netspec.embeds.label import Label
from netspec.embeds.mlp import Mlp
from netspec.embeds.sinusoidal import Sinusoidal
from netspec.families.unet import UNet
from netspec.plan import Node, Plan
from netspec.positions.sincos import SinCos
from netspec.registry import Component
from netspec.resample.down_conv import StridedConv
from netspec.resample.down_resnet import ResnetDown
from netspec.resample.up_nearest import NearestConv
from netspec.resample.up_resnet import ResnetUp
from netspec.weights.layouts import Layout
from netspec.weights.layouts.ldm import TRANSFORMER
from netspec.weights.layouts.nodes import rule, spot
from netspec.weights.layouts.table import Place, Row, Table, kept, row
from netspec.weights.layouts.transforms import Pointwise, Repeated
from netspec.wiring.dit_block import DiTBlock, DiTHead
from netspec.wiring.head import HeadConv
from netspec.wiring.patch import Patchify
from netspec.wiring.stem import StemConv

_RESNET = (
    row("norm1", "norm1"),
    row("conv1", "conv1"),
    row("linear_c", "time_emb_proj"),
    row("norm2", "norm2"),
    row("conv2", "conv2"),
    row("shortcut", "conv_shortcut"),
)
_ATTENTION = (  # before 0.15 these were other words, and the published DDPM files still have them
    row("norm", "group_norm"),
    row("q", "to_q", formerly="query"),
    row("k", "to_k", formerly="key"),
    row("v", "to_v", formerly="value"),
    row("out", "to_out.0", formerly="proj_attn"),
)
_DIT_BLOCK = (
    row("attn.q", "attn1.to_q"),
    row("attn.k", "attn1.to_k"),
    row("attn.v", "attn1.to_v"),
    row("attn.out", "attn1.to_out.0"),
    row("mlp_in", "ff.net.0.proj"),
    row("mlp_out", "ff.net.2"),
    row("modulation.linear", "norm1.linear"),
)
_MLP = (row("linear1", "linear_1"), row("linear2", "linear_2"))


@dataclass(frozen=True, kw_only=True)
class Diffusers(Layout, name="diffusers"):
    """huggingface/diffusers: `UNet2DModel`, `UNet2DConditionModel`, `DiTTransformer2DModel`.

    The form of a transformer's projections is read from the shapes; `projections` says which one to write. `vector` is
    where a conditioning vector that an MLP embeds lies: SDXL's sizes and pooled text, or unCLIP's image embedding.
    """

    projections: Literal["conv", "linear"] = "conv"
    vector: Literal["add_embedding", "class_embedding"] = "add_embedding"

    def places(self, plan: Plan) -> Iterator[Place]:
        if isinstance(plan.spec.family, UNet):
            yield from self._unet(plan, deepest=len(plan.spec.family.levels) - 1)
        else:
            yield from _dit(plan)

    def _unet(self, plan: Plan, deepest: int) -> Iterator[Place]:
        for node in plan:
            if (found := rule(_UNET, node)) is not None:
                prefix, rows = found(self)
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

_UNET: Mapping[type[Component], _Rule] = {
    Sinusoidal: _once("time_embedding", *_MLP),
    Label: _once("class_embedding", row("table", "")),
    Mlp: lambda layout: (layout.vector, _MLP),
    StemConv: _once("conv_in", row("", "")),
    Resnet: _once("", *_RESNET),
    ResnetDown: _once("", *_RESNET),
    ResnetUp: _once("", *_RESNET),
    StridedConv: _once("", row("conv", "conv")),
    NearestConv: _once("", row("conv", "conv")),
    FullAttention: _once("", *_ATTENTION),
    SpatialTransformer: _transformer,
    HeadConv: _once("", row("norm", "conv_norm_out"), row("conv", "conv_out")),
}


def _dit(plan: Plan) -> Iterator[Place]:
    """Each block has the embeddings once more; positions are computed, not stored."""
    depth = sum(isinstance(node.component, DiTBlock) for node in plan)
    for node in plan:
        number = node.name.rpartition("_")[2]
        match node.component:
            case Patchify():
                yield Place(node, "pos_embed", (row("", "proj"),))
            case SinCos():
                yield Place(node, "pos_embed", (kept("table"),))
            case Sinusoidal():
                parts = {"linear1": "timestep_embedder.linear_1", "linear2": "timestep_embedder.linear_2"}
                yield Place(node, "transformer_blocks", _in_every_block(parts, depth))
            case Label():
                parts = {"table": "class_embedder.embedding_table"}
                yield Place(node, "transformer_blocks", _in_every_block(parts, depth))
            case DiTBlock():
                yield Place(node, f"transformer_blocks.{number}", _DIT_BLOCK)
            case DiTHead():
                yield Place(node, "", (row("modulation.linear", "proj_out_1"), row("linear", "proj_out_2")))


def _in_every_block(parts: Mapping[str, str], depth: int) -> Table:
    return tuple(
        Row((ours,), tuple(f"{index}.norm1.emb.{foreign}" for index in range(depth)), Repeated(depth))
        for ours, foreign in parts.items()
    )
