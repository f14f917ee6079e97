"""SD3Transformer2DModel."""

from __future__ import annotations

from collections.abc import Iterator

from netspec.embeds.mlp import Mlp
from netspec.embeds.sinusoidal import Sinusoidal
from netspec.plan import Plan
from netspec.positions import Table as PositionTable
from netspec.weights.layouts import Sign
from netspec.weights.layouts.diffusers import Diffusers, Scheme
from netspec.weights.layouts.table import Place, Table, row
from netspec.weights.layouts.transforms import SAME, Places, Swapped
from netspec.wiring.dit_block import DiTHead
from netspec.wiring.joint_block import JointBlock
from netspec.wiring.patch import Patchify
from netspec.wiring.projection import LinearProjection

MLP = (row("linear1", "linear_1"), row("linear2", "linear_2"))


def joint_block(block: JointBlock) -> Table:
    """Both streams; a context that is not updated has the modulation of a last layer, scale before shift."""
    last = SAME if block.update_context else Swapped()
    return (
        *own_attention("image.attn", "attn"),
        *own_attention("image.attn2", "attn2"),
        row("image.mlp_in", "ff.net.0.proj"),
        row("image.mlp_out", "ff.net.2"),
        row("image.modulation.linear", "norm1.linear"),
        row("context.attn.q", "attn.add_q_proj"),
        row("context.attn.k", "attn.add_k_proj"),
        row("context.attn.v", "attn.add_v_proj"),
        row("context.attn.norm_q", "attn.norm_added_q"),
        row("context.attn.norm_k", "attn.norm_added_k"),
        row("context.attn.out", "attn.to_add_out"),
        row("context.mlp_in", "ff_context.net.0.proj"),
        row("context.mlp_out", "ff_context.net.2"),
        row("context.modulation.linear", "norm1_context.linear", last),
    )


def own_attention(ours: str, theirs: str) -> Table:
    """Projections and norms of tokens that attend to themselves."""
    return (
        row(f"{ours}.q", f"{theirs}.to_q"),
        row(f"{ours}.k", f"{theirs}.to_k"),
        row(f"{ours}.v", f"{theirs}.to_v"),
        row(f"{ours}.norm_q", f"{theirs}.norm_q"),
        row(f"{ours}.norm_k", f"{theirs}.norm_k"),
        row(f"{ours}.out", f"{theirs}.to_out.0"),
    )


class SD3Scheme(Scheme, of="SD3Transformer2DModel"):
    """Blocks of two streams, positions from a table."""

    signs = (Sign("dit", "transformer_blocks.0.attn.add_q_proj.weight", "pos_embed.proj.weight"),)

    @classmethod
    def fits(cls, plan: Plan) -> bool:
        blocks = [node.component for node in plan if isinstance(node.component, JointBlock)]
        return bool(blocks) and not any(block.rotary for block in blocks)

    @classmethod
    def places(cls, plan: Plan, layout: Diffusers) -> Iterator[Place]:
        for node in plan:
            match node.component:
                case Patchify():
                    yield Place(node, "pos_embed", (row("", "proj"),))
                case PositionTable():
                    yield Place(node, "pos_embed", (row("table", "pos_embed", Places()),))
                case LinearProjection() if node.name == "context_embed":
                    yield Place(node, "context_embedder", (row("", ""),))
                case Sinusoidal():
                    yield Place(node, "time_text_embed.timestep_embedder", MLP)
                case Mlp():
                    yield Place(node, "time_text_embed.text_embedder", MLP)
                case JointBlock():
                    number = node.name.rpartition("_")[2]
                    yield Place(node, f"transformer_blocks.{number}", joint_block(node.component))
                case DiTHead():
                    yield Place(
                        node, "", (row("linear", "proj_out"), row("modulation.linear", "norm_out.linear", Swapped()))
                    )
