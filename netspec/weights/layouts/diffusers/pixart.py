"""PixArtTransformer2DModel."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from netspec.embeds.numbers import Numbers
from netspec.embeds.sinusoidal import Sinusoidal
from netspec.modulations.adaln_single import AdaLNSingle
from netspec.plan import Plan
from netspec.positions.sincos import SinCos
from netspec.registry import Component
from netspec.weights.layouts import Sign
from netspec.weights.layouts.diffusers import Diffusers, Scheme
from netspec.weights.layouts.diffusers.dit import BLOCK
from netspec.weights.layouts.nodes import rule
from netspec.weights.layouts.table import Place, Table, kept, row
from netspec.weights.layouts.transforms import Reshaped
from netspec.wiring.dit_block import DiTBlock, DiTHead
from netspec.wiring.patch import Patchify
from netspec.wiring.projection import MlpProjection, SharedModulation

_BLOCK = (
    *BLOCK,
    row("cross_attn.q", "attn2.to_q"),
    row("cross_attn.k", "attn2.to_k"),
    row("cross_attn.v", "attn2.to_v"),
    row("cross_attn.out", "attn2.to_out.0"),
    row("modulation.table", "scale_shift_table", Reshaped((6, -1))),
)
_MLP = (row("linear1", "linear_1"), row("linear2", "linear_2"))

_RULES: Mapping[type[Component], tuple[str, Table]] = {
    Patchify: ("pos_embed", (row("", "proj"),)),
    SinCos: ("pos_embed", (kept("table"),)),
    Sinusoidal: ("adaln_single.emb.timestep_embedder", _MLP),
    Numbers: (
        "adaln_single.emb",
        (
            row("mlps.0.linear1", "resolution_embedder.linear_1"),
            row("mlps.0.linear2", "resolution_embedder.linear_2"),
            row("mlps.1.linear1", "aspect_ratio_embedder.linear_1"),
            row("mlps.1.linear2", "aspect_ratio_embedder.linear_2"),
        ),
    ),
    SharedModulation: ("adaln_single", (row("linear", "linear"),)),
    MlpProjection: ("caption_projection", _MLP),
    DiTBlock: ("transformer_blocks", _BLOCK),
    DiTHead: ("", (row("modulation.table", "scale_shift_table"), row("linear", "proj_out"))),
}


class PixArtScheme(Scheme, of="PixArtTransformer2DModel"):
    """Blocks of self- and cross-attention whose modulation is shared."""

    signs = (Sign("dit", "adaln_single.linear.weight", "pos_embed.proj.weight", "caption_projection.linear_1.weight"),)

    @classmethod
    def fits(cls, plan: Plan) -> bool:
        blocks = [node.component for node in plan if isinstance(node.component, DiTBlock)]
        return bool(blocks) and all(isinstance(each.modulation, AdaLNSingle) and each.cross for each in blocks)

    @classmethod
    def places(cls, plan: Plan, layout: Diffusers) -> Iterator[Place]:
        """Positions are computed, not stored."""
        for node in plan:
            if (found := rule(_RULES, node)) is not None:
                prefix, rows = found
                number = f".{node.name.rpartition('_')[2]}" if isinstance(node.component, DiTBlock) else ""
                yield Place(node, f"{prefix}{number}", rows)
