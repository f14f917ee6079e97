"""The checkpoints of FLUX.1."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from netspec.embeds.mlp import Mlp
from netspec.embeds.sinusoidal import Sinusoidal
from netspec.plan import Node, Plan
from netspec.weights.layouts import Layout, Sign
from netspec.weights.layouts.table import Place, Table, row
from netspec.weights.layouts.transforms import SAME, Fused, PackedPatches, PackedRows, Stacked, Transform
from netspec.wiring.dit_block import DiTHead
from netspec.wiring.joint_block import JointBlock
from netspec.wiring.parallel_block import ParallelBlock
from netspec.wiring.patch import Patchify
from netspec.wiring.projection import LinearProjection


def _stream(ours: str, theirs: str) -> Table:
    return (
        row(f"{ours}.attn.q {ours}.attn.k {ours}.attn.v", f"{theirs}_attn.qkv", Fused()),
        row(f"{ours}.attn.norm_q.weight", f"{theirs}_attn.norm.query_norm.scale"),
        row(f"{ours}.attn.norm_k.weight", f"{theirs}_attn.norm.key_norm.scale"),
        row(f"{ours}.attn.out", f"{theirs}_attn.proj"),
        row(f"{ours}.mlp_in", f"{theirs}_mlp.0"),
        row(f"{ours}.mlp_out", f"{theirs}_mlp.2"),
        row(f"{ours}.modulation.linear", f"{theirs}_mod.lin"),
    )


_DOUBLE = (*_stream("image", "img"), *_stream("context", "txt"))
_SINGLE = (
    row("attn.q attn.k attn.v mlp_in", "linear1", Stacked()),
    row("attn.norm_q.weight", "norm.query_norm.scale"),
    row("attn.norm_k.weight", "norm.key_norm.scale"),
    row("out", "linear2"),
    row("modulation.linear", "modulation.lin"),
)
_MLP = (row("linear1", "in_layer"), row("linear2", "out_layer"))


@dataclass(frozen=True, kw_only=True)
class Flux(Layout, name="flux"):
    """black-forest-labs/flux, `model.py`: q, k, v are rows of one matrix, and so is the MLP's first layer in blocks of
    one stream. Tokens are packed patches; ours may be those, or the image itself."""

    signs = (Sign("dit", "img_in.weight", "txt_in.weight", "double_blocks.0.img_attn.qkv.weight"),)

    def places(self, plan: Plan) -> Iterator[Place]:
        for node in plan:
            number = node.name.rpartition("_")[2]
            match node.component:
                case Patchify():
                    yield Place(node, "img_in", (row("", "", PackedPatches()),))
                case LinearProjection():
                    yield Place(node, "txt_in" if node.name == "context_embed" else "img_in", (row("", ""),))
                case Sinusoidal():
                    yield Place(node, "guidance_in" if is_guidance(plan, node) else "time_in", _MLP)
                case Mlp():
                    yield Place(node, "vector_in", _MLP)
                case JointBlock():
                    yield Place(node, f"double_blocks.{number}", _DOUBLE)
                case ParallelBlock():
                    yield Place(node, f"single_blocks.{number}", _SINGLE)
                case DiTHead():
                    head = (row("linear", "linear", packed_rows(plan)), row("modulation.linear", "adaLN_modulation.1"))
                    yield Place(node, "final_layer", head)


def is_guidance(plan: Plan, node: Node) -> bool:
    """Of two embeddings that nothing else tells apart, the strength of guidance: by its name, else the second."""
    numbers = [each.name for each in plan if isinstance(each.component, Sinusoidal)]
    return node.name == ("embed_guidance" if "embed_guidance" in numbers else "".join(numbers[1:2]))


def packed_rows(plan: Plan) -> Transform:
    """From patches packed in the output to those of an image, where ours is one."""
    sizes = [node.component.patch_size for node in plan if isinstance(node.component, Patchify)]
    return PackedRows(sizes[0]) if sizes else SAME
