"""Stable Diffusion 3, as its authors and as diffusers store it."""

from __future__ import annotations

from collections.abc import Sequence

from netspec.importers import Draft
from netspec.importers.checkpoint import Ask, Kind, Shape, Shapes, made


class SD3(Kind, part="dit"):
    """Blocks of two streams."""

    signs = ("x_embedder.proj.weight", "context_embedder.weight", "joint_blocks.0.x_block.attn.qkv.weight")
    words = "a Stable Diffusion 3 of its authors"

    @classmethod
    def draft(cls, shapes: Shapes, ask: Ask) -> Draft:
        blocks = shapes.numbered("joint_blocks.")
        dual = [index for index, block in enumerate(blocks) if "x_block.attn2.qkv.weight" in block]
        return _draft(
            shapes, ("x_embedder.proj.weight", "pos_embed", "y_embedder.mlp.0.weight", "final_layer.linear.weight"),
            len(blocks), dual, blocks[0].get("x_block.attn.ln_q.weight"), ask,
        )  # fmt: skip


class DiffusersSD3(Kind, part="dit"):
    """The same network under other names."""

    signs = ("pos_embed.proj.weight", "context_embedder.weight", "transformer_blocks.0.attn.add_q_proj.weight")
    words = "a Stable Diffusion 3 of diffusers"

    @classmethod
    def draft(cls, shapes: Shapes, ask: Ask) -> Draft:
        blocks = shapes.numbered("transformer_blocks.")
        dual = [index for index, block in enumerate(blocks) if "attn2.to_q.weight" in block]
        pooled = "time_text_embed.text_embedder.linear_1.weight"
        return _draft(
            shapes, ("pos_embed.proj.weight", "pos_embed.pos_embed", pooled, "proj_out.weight"),
            len(blocks), dual, blocks[0].get("attn.norm_q.weight"), ask,
        )  # fmt: skip


def _draft(
    shapes: Shapes, names: Sequence[str], depth: int, dual: Sequence[int], norm: Shape | None, ask: Ask
) -> Draft:
    """`names` are those of patch layer, positions, pooled text and head; `norm` is the shape of a query's."""
    patches, places, pooled, head = (shapes[name] for name in names)
    width, channels, patch = patches[:3]
    if norm is not None:
        number = width // norm[0]
    else:
        number = ask.heads([width], usual={"head_dim": 64}, lineage="Stable Diffusion 3")[0]
    settings = {
        "num_attention_heads": number,
        "attention_head_dim": width // number,
        "sample_size": ask.value(
            "size", 128, "Stable Diffusion 3", "the side of the latent that positions are scaled to"
        ),
        "patch_size": patch,
        "in_channels": channels,
        "num_layers": depth,
        "joint_attention_dim": shapes["context_embedder.weight"][1],
        "caption_projection_dim": width,
        "pooled_projection_dim": pooled[1],
        "out_channels": head[0] // patch**2,
        "pos_embed_max_size": round(places[1] ** 0.5),
        "dual_attention_layers": list(dual),
        "qk_norm": None if norm is None else "rms_norm",
    }
    return made("diffusers", "SD3Transformer2DModel", settings, ask.options)
