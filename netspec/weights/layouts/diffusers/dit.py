"""DiTTransformer2DModel."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from netspec.embeds.label import Label
from netspec.embeds.sinusoidal import Sinusoidal
from netspec.modulations.adaln_zero import AdaLNZero
from netspec.plan import Plan
from netspec.positions.sincos import SinCos
from netspec.weights.layouts import Sign
from netspec.weights.layouts.diffusers import Diffusers, Scheme
from netspec.weights.layouts.table import Place, Row, Table, kept, row
from netspec.weights.layouts.transforms import Repeated
from netspec.wiring.dit_block import DiTBlock, DiTHead
from netspec.wiring.patch import Patchify

BLOCK = (  # PixArtTransformer2DModel has these names as well
    row("attn.q", "attn1.to_q"),
    row("attn.k", "attn1.to_k"),
    row("attn.v", "attn1.to_v"),
    row("attn.out", "attn1.to_out.0"),
    row("mlp_in", "ff.net.0.proj"),
    row("mlp_out", "ff.net.2"),
)


class DiTScheme(Scheme, of="DiTTransformer2DModel"):
    """Blocks of self-attention that a vector modulates."""

    signs = (Sign("dit", "transformer_blocks.0.norm1.emb.timestep_embedder.linear_1.weight", "pos_embed.proj.weight"),)

    @classmethod
    def fits(cls, plan: Plan) -> bool:
        """diffusers has no form without labels."""
        blocks = [node.component for node in plan if isinstance(node.component, DiTBlock)]
        fitting = all(isinstance(each.modulation, AdaLNZero) and not each.cross for each in blocks)
        return bool(blocks) and fitting and any(isinstance(node.component, Label) for node in plan)

    @classmethod
    def places(cls, plan: Plan, layout: Diffusers) -> Iterator[Place]:
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
                    yield Place(
                        node, f"transformer_blocks.{number}", (*BLOCK, row("modulation.linear", "norm1.linear"))
                    )
                case DiTHead():
                    yield Place(node, "", (row("modulation.linear", "proj_out_1"), row("linear", "proj_out_2")))


def _in_every_block(parts: Mapping[str, str], depth: int) -> Table:
    return tuple(
        Row((ours,), tuple(f"{index}.norm1.emb.{foreign}" for index in range(depth)), Repeated(depth))
        for ours, foreign in parts.items()
    )
