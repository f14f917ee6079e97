"""The checkpoints of Stable Diffusion 3 and 3.5."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from netspec.embeds.mlp import Mlp
from netspec.embeds.sinusoidal import Sinusoidal
from netspec.plan import Plan
from netspec.positions import Table as PositionTable
from netspec.weights.layouts import Layout, Sign
from netspec.weights.layouts.table import Place, Table, row
from netspec.weights.layouts.transforms import Fused, Places
from netspec.wiring.dit_block import DiTHead
from netspec.wiring.joint_block import JointBlock
from netspec.wiring.patch import Patchify
from netspec.wiring.projection import LinearProjection


def _attention(ours: str, theirs: str) -> Table:
    return (
        row(f"{ours}.q {ours}.k {ours}.v", f"{theirs}.qkv", Fused()),
        row(f"{ours}.norm_q", f"{theirs}.ln_q"),
        row(f"{ours}.norm_k", f"{theirs}.ln_k"),
        row(f"{ours}.out", f"{theirs}.proj"),
    )


def _stream(ours: str, theirs: str) -> Table:
    return (
        *_attention(f"{ours}.attn", f"{theirs}.attn"),
        *_attention(f"{ours}.attn2", f"{theirs}.attn2"),
        row(f"{ours}.mlp_in", f"{theirs}.mlp.fc1"),
        row(f"{ours}.mlp_out", f"{theirs}.mlp.fc2"),
        row(f"{ours}.modulation.linear", f"{theirs}.adaLN_modulation.1"),
    )


_BLOCK = (*_stream("image", "x_block"), *_stream("context", "context_block"))
_MLP = (row("linear1", "mlp.0"), row("linear2", "mlp.2"))


@dataclass(frozen=True, kw_only=True)
class SD3(Layout, name="sd3"):
    """Stability-AI/sd3.5, `mmditx.py` (Esser et al. 2024): q, k, v of a stream are rows of one matrix."""

    signs = (
        Sign("dit", "x_embedder.proj.weight", "context_embedder.weight", "joint_blocks.0.x_block.attn.qkv.weight"),
    )

    def places(self, plan: Plan) -> Iterator[Place]:
        for node in plan:
            match node.component:
                case Patchify():
                    yield Place(node, "x_embedder", (row("", "proj"),))
                case PositionTable():
                    yield Place(node, "", (row("table", "pos_embed", Places()),))
                case LinearProjection() if node.name == "context_embed":
                    yield Place(node, "context_embedder", (row("", ""),))
                case Sinusoidal():
                    yield Place(node, "t_embedder", _MLP)
                case Mlp():
                    yield Place(node, "y_embedder", _MLP)
                case JointBlock():
                    yield Place(node, f"joint_blocks.{node.name.rpartition('_')[2]}", _BLOCK)
                case DiTHead():
                    head = (row("linear", "linear"), row("modulation.linear", "adaLN_modulation.1"))
                    yield Place(node, "final_layer", head)
