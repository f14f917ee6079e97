"""FluxTransformer2DModel."""

from __future__ import annotations

from collections.abc import Iterator

from netspec.embeds.mlp import Mlp
from netspec.embeds.sinusoidal import Sinusoidal
from netspec.plan import Plan
from netspec.weights.layouts import Sign
from netspec.weights.layouts.diffusers import Diffusers, Scheme
from netspec.weights.layouts.diffusers.sd3 import MLP, joint_block, own_attention
from netspec.weights.layouts.flux import is_guidance, packed_rows
from netspec.weights.layouts.table import Place, row
from netspec.weights.layouts.transforms import PackedPatches, Swapped
from netspec.wiring.dit_block import DiTHead
from netspec.wiring.joint_block import JointBlock
from netspec.wiring.parallel_block import ParallelBlock
from netspec.wiring.patch import Patchify
from netspec.wiring.projection import LinearProjection

_SINGLE = (
    *own_attention("attn", "attn"),
    row("mlp_in", "proj_mlp"),
    row("out", "proj_out"),
    row("modulation.linear", "norm.linear"),
)


class FluxScheme(Scheme, of="FluxTransformer2DModel"):
    """Blocks of two streams, then of one, with rotary positions."""

    signs = (Sign("dit", "transformer_blocks.0.attn.add_q_proj.weight", "x_embedder.weight"),)

    @classmethod
    def fits(cls, plan: Plan) -> bool:
        blocks = [node.component for node in plan if isinstance(node.component, JointBlock)]
        return bool(blocks) and all(block.rotary for block in blocks)

    @classmethod
    def places(cls, plan: Plan, layout: Diffusers) -> Iterator[Place]:
        """The original's rules for guidance and for patches that lie packed in the tokens hold here, too."""
        for node in plan:
            number = node.name.rpartition("_")[2]
            match node.component:
                case Patchify():
                    yield Place(node, "x_embedder", (row("", "", PackedPatches()),))
                case LinearProjection():
                    yield Place(node, f"{'context' if node.name == 'context_embed' else 'x'}_embedder", (row("", ""),))
                case Sinusoidal():
                    name = "guidance" if is_guidance(plan, node) else "timestep"
                    yield Place(node, f"time_text_embed.{name}_embedder", MLP)
                case Mlp():
                    yield Place(node, "time_text_embed.text_embedder", MLP)
                case JointBlock():
                    yield Place(node, f"transformer_blocks.{number}", joint_block(node.component))
                case ParallelBlock():
                    yield Place(node, f"single_transformer_blocks.{number}", _SINGLE)
                case DiTHead():
                    linear = row("linear", "proj_out", packed_rows(plan))
                    yield Place(node, "", (linear, row("modulation.linear", "norm_out.linear", Swapped())))
