"""The checkpoints of OpenAI's U-Nets, from which those of latent diffusion grew."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from netspec.attention.full import FullAttention
from netspec.blocks.resnet import Resnet
from netspec.embeds.label import Label
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

MLP = (row("linear1", "0"), row("linear2", "2"))
_RESNET = (
    row("norm1", "in_layers.0"),
    row("conv1", "in_layers.2"),
    row("linear_c", "emb_layers.1"),
    row("norm2", "out_layers.0"),
    row("conv2", "out_layers.3"),
    row("shortcut", "skip_connection"),
)

# The prefix of nodes that stand once; those of the U get theirs from _prefixes.
_RULES: Mapping[type[Component], tuple[str, Table]] = {
    Sinusoidal: ("time_embed", MLP),
    Label: ("label_emb", (row("table", ""),)),
    StemConv: ("input_blocks.0.0", (row("", ""),)),
    Resnet: ("", _RESNET),
    ResnetDown: ("", _RESNET),
    ResnetUp: ("", _RESNET),
    StridedConv: ("", (row("conv", "op"),)),
    NearestConv: ("", (row("conv", "conv"),)),
    HeadConv: ("out", (row("norm", "0"), row("conv", "2"))),
}


@dataclass(frozen=True, kw_only=True)
class Adm(Layout, name="adm"):
    """openai/improved-diffusion and guided-diffusion: `UNetModel`, `SuperResModel`.

    Files do not tell the order of the rows of a fused q, k, v: `heads_first` is (head, q|k|v, d), guided-diffusion's
    `use_new_attention_order` is `parts_first`, (q|k|v, head, d).

    It has no signs of its own: its keys are a part of latent diffusion's, so its files bear the signs of `ldm`, which
    reads them as well.
    """

    qkv: Literal["heads_first", "parts_first"] = "heads_first"

    def places(self, plan: Plan) -> Iterator[Place]:
        prefixes = _prefixes(plan)
        for node in plan:
            if (found := self.table(node)) is not None:
                prefix, rows = found
                yield Place(node, prefixes.get(node.name, prefix), rows)

    def table(self, node: Node) -> tuple[str, Table] | None:
        """The rows of a node, and its prefix where it stands once. None where these files have no such part."""
        if isinstance(node.component, FullAttention):
            heads = node.component.count(node.types[0].channels) if self.qkv == "heads_first" else 1
            fused = row("q k v", "qkv", Fused(axes=1, heads=heads))  # a Conv1d over H * W positions
            return "", (row("norm", "norm"), fused, row("out", "proj_out", Pointwise(axes=1)))
        return rule(_RULES, node)


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
