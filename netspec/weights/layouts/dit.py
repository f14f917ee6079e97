"""The checkpoints of DiT."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from netspec.embeds.label import Label
from netspec.embeds.mlp import Mlp
from netspec.embeds.sinusoidal import Sinusoidal
from netspec.plan import Node, Plan
from netspec.positions import Table as PositionTable
from netspec.registry import Component
from netspec.weights.layouts import Layout, Sign
from netspec.weights.layouts.nodes import rule
from netspec.weights.layouts.table import Place, Table, row
from netspec.weights.layouts.transforms import Fused, Places
from netspec.wiring.dit_block import DiTBlock, DiTHead
from netspec.wiring.patch import Patchify

_BLOCK = (
    row("norm1", "norm1"),  # norms have tensors of their own only where nothing modulates them
    row("attn.q attn.k attn.v", "attn.qkv", Fused()),
    row("attn.out", "attn.proj"),
    row("norm2", "norm2"),
    row("mlp_in", "mlp.fc1"),
    row("mlp_out", "mlp.fc2"),
    row("modulation.linear", "adaLN_modulation.1"),
)
_MLP = (row("linear1", "mlp.0"), row("linear2", "mlp.2"))

_RULES: Mapping[type[Component], tuple[str, Table]] = {
    Patchify: ("x_embedder", (row("", "proj"),)),
    PositionTable: ("", (row("table", "pos_embed", Places()),)),
    Sinusoidal: ("t_embedder", _MLP),
    Label: ("y_embedder", (row("table", "embedding_table"),)),
    Mlp: ("y_embedder", _MLP),
    DiTBlock: ("blocks", _BLOCK),
    DiTHead: (
        "final_layer",
        (row("norm", "norm_final"), row("linear", "linear"), row("modulation.linear", "adaLN_modulation.1")),
    ),
}


@dataclass(frozen=True, kw_only=True)
class DiTLayout(Layout, name="dit"):
    """facebookresearch/DiT, `models.py` (Peebles & Xie 2023): q, k, v are rows of one matrix."""

    signs = (
        Sign("dit", "x_embedder.proj.bias", "blocks.0.attn.qkv.weight", "final_layer.adaLN_modulation.1.bias"),
        Sign("dit", "x_embedder.proj.bias", "blocks.0.attn.qkv.weight", "final_layer.norm_final.weight"),  # in-context
    )

    def places(self, plan: Plan) -> Iterator[Place]:
        for node in plan:
            if (found := rule(_RULES, node)) is not None:
                prefix, rows = found
                yield Place(node, f"{prefix}.{_number(node)}" if isinstance(node.component, DiTBlock) else prefix, rows)


def _number(node: Node) -> int:
    """Of `block_11`: 11."""
    return int(node.name.rpartition("_")[2])
