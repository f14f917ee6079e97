"""The checkpoints of PixArt."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from netspec.embeds.numbers import Numbers
from netspec.embeds.sinusoidal import Sinusoidal
from netspec.plan import Node, Plan
from netspec.positions.sincos import SinCos
from netspec.registry import Component
from netspec.weights.layouts import Layout, Sign
from netspec.weights.layouts.nodes import rule, shapes_of
from netspec.weights.layouts.table import Place, Table, kept, row
from netspec.weights.layouts.transforms import Fused, Places, Reshaped
from netspec.wiring.dit_block import DiTBlock, DiTHead
from netspec.wiring.patch import Patchify
from netspec.wiring.projection import MlpProjection, SharedModulation

_BLOCK = (
    row("attn.q attn.k attn.v", "attn.qkv", Fused()),
    row("attn.out", "attn.proj"),
    row("cross_attn.q", "cross_attn.q_linear"),
    row("cross_attn.k cross_attn.v", "cross_attn.kv_linear", Fused(parts=2)),
    row("cross_attn.out", "cross_attn.proj"),
    row("mlp_in", "mlp.fc1"),
    row("mlp_out", "mlp.fc2"),
    row("modulation.table", "scale_shift_table", Reshaped((6, -1))),  # a row for each of shift, scale, gate, twice
)
_SIZES = (
    row("mlps.0.linear1", "csize_embedder.mlp.0"),
    row("mlps.0.linear2", "csize_embedder.mlp.2"),
    row("mlps.1.linear1", "ar_embedder.mlp.0"),
    row("mlps.1.linear2", "ar_embedder.mlp.2"),
)

_RULES: Mapping[type[Component], tuple[str, Table]] = {
    Patchify: ("x_embedder", (row("", "proj"),)),
    SinCos: ("", (row("table", "pos_embed", Places()),)),
    Sinusoidal: ("t_embedder", (row("linear1", "mlp.0"), row("linear2", "mlp.2"))),
    Numbers: ("", _SIZES),
    SharedModulation: ("t_block", (row("linear", "1"),)),
    MlpProjection: ("y_embedder.y_proj", (row("linear1", "fc1"), row("linear2", "fc2"))),
    DiTBlock: ("blocks", _BLOCK),
    DiTHead: ("final_layer", (row("modulation.table", "scale_shift_table"), row("linear", "linear"))),
}


@dataclass(frozen=True, kw_only=True)
class PixArt(Layout, name="pixart"):
    """PixArt-alpha/PixArt-alpha and PixArt-sigma, `PixArt.py` and `PixArtMS.py` (Chen et al. 2023).

    Files hold more than a network computes with: the caption that stands for none, which the caller gives as text like
    any other, and a table of positions, of a square image, where every image has its own or none is square. Both are
    passed over, and not written: the original code reads files without them (`strict=False`).
    """

    signs = (Sign("dit", "x_embedder.proj.weight", "t_block.1.weight", "blocks.0.cross_attn.kv_linear.weight"),)

    def beside(self, plan: Plan) -> tuple[str, ...]:
        return ("y_embedder.y_embedding", *(() if any(map(_square, plan)) else ("pos_embed",)))

    def places(self, plan: Plan) -> Iterator[Place]:
        for node in plan:
            if (found := rule(_RULES, node)) is not None:
                prefix, rows = found
                if isinstance(node.component, SinCos) and not _square(node):
                    rows = (kept("table"),)
                number = f".{node.name.rpartition('_')[2]}" if isinstance(node.component, DiTBlock) else ""
                yield Place(node, f"{prefix}{number}", rows)


def _square(node: Node) -> bool:
    """Whether the node is a table of positions of square images, the only kind that is stored."""
    table = shapes_of(node).get("table", ()) if isinstance(node.component, SinCos) else ()
    return bool(table) and table[1] == table[2]
