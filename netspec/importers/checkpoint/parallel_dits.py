"""FLUX.1, as its authors and as diffusers store it."""

from __future__ import annotations

from collections.abc import Sequence

from netspec.importers import Draft
from netspec.importers.checkpoint import Ask, Kind, Shapes, made


class Flux(Kind, part="dit"):
    """Blocks of two streams, then of one."""

    signs = ("img_in.weight", "txt_in.weight", "double_blocks.0.img_attn.qkv.weight", "final_layer.linear.weight")
    words = "a FLUX.1 of its authors"

    @classmethod
    def draft(cls, shapes: Shapes, ask: Ask) -> Draft:
        return _draft(
            shapes, ("img_in.weight", "txt_in.weight", "vector_in.in_layer.weight", "final_layer.linear.weight"),
            ("double_blocks.", "single_blocks."), "double_blocks.0.img_attn.norm.query_norm.scale",
            "guidance_in.in_layer.weight" in shapes, ask,
        )  # fmt: skip


class DiffusersFlux(Kind, part="dit"):
    """The same network under other names."""

    signs = (
        "x_embedder.weight",
        "context_embedder.weight",
        "transformer_blocks.0.attn.add_q_proj.weight",
        "proj_out.weight",
    )
    words = "a FLUX.1 of diffusers"

    @classmethod
    def draft(cls, shapes: Shapes, ask: Ask) -> Draft:
        pooled = "time_text_embed.text_embedder.linear_1.weight"
        return _draft(
            shapes, ("x_embedder.weight", "context_embedder.weight", pooled, "proj_out.weight"),
            ("transformer_blocks.", "single_transformer_blocks."), "transformer_blocks.0.attn.norm_q.weight",
            "time_text_embed.guidance_embedder.linear_1.weight" in shapes, ask,
        )  # fmt: skip


def _draft(shapes: Shapes, names: Sequence[str], blocks: Sequence[str], norm: str, guided: bool, ask: Ask) -> Draft:
    """`names` are those of the layers for image, text, pooled text and output; `blocks` of two streams and of one."""
    (width, channels), text, pooled, head = (shapes[name] for name in names)
    wide = shapes[norm][0]
    usual = (16, 56, 56) if wide == 128 else None
    about = "channels of a head that each coordinate turns, such as 16,56,56"
    axes = ask.value("axes", usual, "FLUX.1", about)
    settings = {
        "num_attention_heads": width // wide,
        "attention_head_dim": wide,
        "in_channels": channels,
        "out_channels": head[0],
        "num_layers": len(shapes.numbered(blocks[0])),
        "num_single_layers": len(shapes.numbered(blocks[1])),
        "joint_attention_dim": text[1],
        "pooled_projection_dim": pooled[1],
        "guidance_embeds": guided,
        "axes_dims_rope": list(axes) if isinstance(axes, tuple) else [wide],
    }
    return made("diffusers", "FluxTransformer2DModel", settings, ask.options)
