"""The checkpoints of latent diffusion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from netspec.attention.spatial import SpatialTransformer
from netspec.embeds.mlp import Mlp
from netspec.plan import Node
from netspec.weights.layouts import Sign
from netspec.weights.layouts.adm import MLP, Adm
from netspec.weights.layouts.table import Table, row
from netspec.weights.layouts.transforms import Pointwise

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
    row("blocks.*.norm_mlp", "transformer_blocks.*.norm3"),
    row("blocks.*.mlp_in", "transformer_blocks.*.ff.net.0.proj"),
    row("blocks.*.mlp_out", "transformer_blocks.*.ff.net.2"),
)


@dataclass(frozen=True, kw_only=True)
class Ldm(Adm, name="ldm"):
    """CompVis/latent-diffusion and stable-diffusion, Stability-AI/stablediffusion and generative-models: `UNetModel`,
    which is OpenAI's with transformers and embedded vectors.

    The form of a transformer's projections is read from the shapes; `projections` says which one to write (a
    convolution in SD 1, a linear layer from SD 2 on).
    """

    signs = (Sign("unet", "time_embed.0.weight", "input_blocks.0.0.weight", "middle_block.0.in_layers.0.weight"),)

    projections: Literal["conv", "linear"] = "conv"

    def table(self, node: Node) -> tuple[str, Table] | None:
        match node.component:
            case Mlp():
                return "label_emb.0", MLP
            case SpatialTransformer():
                form = Pointwise(axes=2 if self.projections == "conv" else 0)
                ends = (row("proj_in", "proj_in", form), row("proj_out", "proj_out", form))
                return "", (row("norm", "norm"), *ends, *TRANSFORMER)
            case _:
                return super().table(node)
