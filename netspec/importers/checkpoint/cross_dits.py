"""PixArt, as its authors and as diffusers store it."""

from __future__ import annotations

from netspec.importers import Draft
from netspec.importers.checkpoint import Ask, Kind, Shapes, made
from netspec.importers.checkpoint.dits import heads


class PixArt(Kind, part="dit"):
    """Files hold more than the network computes with: the caption that stands for none, and a table of positions."""

    signs = (
        "x_embedder.proj.weight",
        "t_block.1.weight",
        "blocks.0.cross_attn.kv_linear.weight",
        "final_layer.linear.weight",
    )
    words = "a PixArt of its authors"
    beside = ("y_embedder.y_embedding", "pos_embed")

    @classmethod
    def draft(cls, shapes: Shapes, ask: Ask) -> Draft:
        blocks, caption = len(shapes.numbered("blocks.")), shapes["y_embedder.y_proj.fc1.weight"]
        return _draft(
            shapes["x_embedder.proj.weight"], shapes["final_layer.linear.weight"][0], blocks, caption[1],
            "csize_embedder.mlp.0.weight" in shapes, ask,
        )  # fmt: skip


class DiffusersPixArt(Kind, part="dit"):
    """Positions are not stored."""

    signs = (
        "pos_embed.proj.weight",
        "adaln_single.linear.weight",
        "caption_projection.linear_1.weight",
        "proj_out.weight",
    )
    words = "a PixArt of diffusers"

    @classmethod
    def draft(cls, shapes: Shapes, ask: Ask) -> Draft:
        blocks, caption = len(shapes.numbered("transformer_blocks.")), shapes["caption_projection.linear_1.weight"]
        return _draft(
            shapes["pos_embed.proj.weight"], shapes["proj_out.weight"][0], blocks, caption[1],
            "adaln_single.emb.resolution_embedder.linear_1.weight" in shapes, ask,
        )  # fmt: skip


def _draft(patches: tuple[int, ...], made_numbers: int, blocks: int, caption: int, sizes: bool, ask: Ask) -> Draft:
    """Of a network of this patch layer, head, depth and caption. Positions span 32 in all of them but the smallest."""
    width, channels, patch = patches[:3]
    number = heads(width, ask)
    side = ask.value(
        "size", 128 if sizes else 64, "PixArt with sizes" if sizes else "PixArt at 512x512", "the latent's side"
    )
    ask.assumed.append("positions span 32 whatever the size, as in PixArt")
    settings = {
        "num_attention_heads": number,
        "attention_head_dim": width // number,
        "in_channels": channels,
        "out_channels": made_numbers // patch**2,
        "num_layers": blocks,
        "cross_attention_dim": width,
        "caption_channels": caption,
        "patch_size": patch,
        "sample_size": side,
        "interpolation_scale": side // patch / 32,
        "use_additional_conditions": sizes,
    }
    return made("diffusers", "PixArtTransformer2DModel", settings, ask.options)
