"""The checkpoints of OpenAI's U-Nets and of latent diffusion, which grew from them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from netspec.attention.full import FullAttention
from netspec.attention.spatial import SpatialTransformer
from netspec.blocks.resnet import Resnet
from netspec.embeds.label import Label
from netspec.embeds.mlp import Mlp
from netspec.embeds.sinusoidal import Sinusoidal
from netspec.plan import Node, Plan
from netspec.registry import Component
from netspec.resample.down_conv import StridedConv
from netspec.resample.down_resnet import ResnetDown
from netspec.resample.up_nearest import NearestConv
from netspec.resample.up_resnet import ResnetUp
from netspec.weights.layouts import Layout
from netspec.weights.layouts.nodes import Spot, rule, spot
from netspec.weights.layouts.table import Place, Table, row
from netspec.weights.layouts.transforms import Fused, Pointwise
from netspec.wiring.head import HeadConv
from netspec.wiring.stem import StemConv

_RESNET = (
    row("norm1", "in_layers.0"),
    row("conv1", "in_layers.2"),
    row("linear_c", "emb_layers.1"),
    row("norm2", "out_layers.0"),
    row("conv2", "out_layers.3"),
    row("shortcut", "skip_connection"),
)

TRANSFORMER = (  # between the projections; diffusers keeps these names
    row("blocks.*.norm1", "transformer_blocks.*.norm1"),
    row("blocks.*.attn1.q", "transformer_blocks.*.attn1.to_q"),
    row("blocks.*.attn1.k", "transformer_blocks.*.attn1.to_k"),
    row("blocks.*.attn1.v", "transformer_blocks.*.attn1.to_v"),
    row("blocks.*.attn1.out", "transformer_blocks.*.attn1.to_out.0"),
    row("blocks.*.norm2", "transformer_blocks.*.norm2"),
    row("blocks.*.attn2.q", "transformer_blocks.*.attn2.to_q"),
    row("blocks.*.attn2.k", "transformer_blocks.*.attn2.to_k"),
    row("blocks.*.attn2.v", "transformer_blocks.*.attn2.to_v"),
    row("blocks.*.attn2.out", "transformer_blocks.*.attn2.to_out.0"),
    row("blocks.*.norm3", "transformer_blocks.*.norm3"),
    row("blocks.*.mlp_in", "transformer_blocks.*.ff.net.0.proj"),
    row("blocks.*.mlp_out", "transformer_blocks.*.ff.net.2"),
)


@dataclass(frozen=True, kw_only=True)
class Ldm(Layout, name="ldm"):
    """CompVis/latent-diffusion and stable-diffusion, Stability-AI/generative-models, openai/improved-diffusion and
    guided-diffusion: `UNetModel`.

    Files do not tell the order of the rows of a fused q, k, v: `heads_first` is (head, q|k|v, d), guided-diffusion's
    `use_new_attention_order` is `parts_first`, (q|k|v, head, d). The form of a transformer's projections is read from
    the shapes; `projections` says which one to write (a convolution in SD 1, a linear layer from SD 2 on).
    """

    qkv: Literal["heads_first", "parts_first"] = "heads_first"
    projections: Literal["conv", "linear"] = "conv"

    def places(self, plan: Plan) -> Iterator[Place]:
        prefixes = _prefixes(plan)
        for node in plan:
            found = rule(_RULES, node)
            if found is not None:
                prefix, rows = found
                yield Place(node, prefixes.get(node.name, prefix), rows(self, node))


def _prefixes(plan: Plan) -> Mapping[str, str]:
    """`input_blocks.4.1` for each node of the U: a block, or a change of size on the way down, opens the next number
    (the stem has 0); what follows it, up to an upsampling, counts on below that number."""
    found: dict[str, str] = {}
    opened = Counter({"input_blocks": 0, "output_blocks": -1})
    below: Counter[str] = Counter()
    for node in plan:
        match spot(node):
            case None:
                pass
            case Spot(side="mid"):
                found[node.name] = f"middle_block.{below['middle_block']}"
                below["middle_block"] += 1
            case Spot(side=side, part=part):
                stack = "input_blocks" if side == "down" else "output_blocks"
                if part in ("block", "downsample"):
                    opened[stack], below[stack] = opened[stack] + 1, 0
                found[node.name] = f"{stack}.{opened[stack]}.{below[stack]}"
                below[stack] += 1
    return found


def _attention(layout: Ldm, node: Node) -> Table:
    attention, x = node.component, node.types[0]
    assert isinstance(attention, FullAttention)  # the rule's key
    heads = attention.count(x.channels) if layout.qkv == "heads_first" else 1
    return (
        row("norm", "norm"),
        row("q k v", "qkv", Fused(axes=1, heads=heads)),  # a Conv1d over H * W positions
        row("out", "proj_out", Pointwise(axes=1)),
    )


def _transformer(layout: Ldm, node: Node) -> Table:
    projection = Pointwise(axes=2 if layout.projections == "conv" else 0)
    return (
        row("norm", "norm"),
        row("proj_in", "proj_in", projection),
        *TRANSFORMER,
        row("proj_out", "proj_out", projection),
    )


def _always(table: Table) -> _Rows:
    return lambda layout, node: table


_Rows: TypeAlias = Callable[[Ldm, Node], Table]
_MLP = _always((row("linear1", "0"), row("linear2", "2")))

# The prefix of nodes that stand once; those of the U get theirs from _prefixes.
_RULES: Mapping[type[Component], tuple[str, _Rows]] = {
    Sinusoidal: ("time_embed", _MLP),
    Label: ("label_emb", _always((row("table", ""),))),
    Mlp: ("label_emb.0", _MLP),
    StemConv: ("input_blocks.0.0", _always((row("", ""),))),
    Resnet: ("", _always(_RESNET)),
    ResnetDown: ("", _always(_RESNET)),
    ResnetUp: ("", _always(_RESNET)),
    StridedConv: ("", _always((row("conv", "op"),))),
    NearestConv: ("", _always((row("conv", "conv"),))),
    FullAttention: ("", _attention),
    SpatialTransformer: ("", _transformer),
    HeadConv: ("out", _always((row("norm", "0"), row("conv", "2")))),
}
