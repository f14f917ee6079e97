"""DiT, as its authors and as diffusers store it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from netspec.importers import BATCH, Draft
from netspec.importers.checkpoint import Ask, Kind, Shapes, made
from netspec.importers.dit import NULL

HEADS = {384: 6, 768: 12, 1024: 16, 1152: 16}  # of the paper's sizes, by width
_MODULATIONS = {6: "adaln_zero", 4: "adaln"}  # by how many vectors a block is given


class DiT(Kind, part="dit"):
    """Every conditioning of the paper but cross-attention, which was not released."""

    signs = ("x_embedder.proj.weight", "t_embedder.mlp.0.weight", "blocks.0.attn.qkv.weight", "blocks.0.mlp.fc1.weight")
    unlike = ("t_block.1.weight",)  # blocks that share one modulation
    words = "a DiT of its authors"

    @classmethod
    def draft(cls, shapes: Shapes, ask: Ask) -> Draft:
        width, channels, patch = shapes["x_embedder.proj.weight"][:3]
        made_channels = shapes["final_layer.linear.weight"][0] // patch**2
        side = patch * round(shapes["pos_embed"][1] ** 0.5)
        modulation = shapes.get("blocks.0.adaLN_modulation.1.weight")
        table = shapes.get("y_embedder.embedding_table.weight")
        labels = {}
        if table is not None:
            classes = ask.value("classes", table[0] - 1, "DiT", "the number of classes besides the one for none")
            labels = {"y": {"embed": "label", "classes": classes} | ({"dropout": NULL} if classes < table[0] else {})}
        data = {
            "netspec": 1,
            "name": ask.options.name or "dit",
            "inputs": {"x": ["batch", channels, side, side], "t": ["batch"]} | {name: ["batch"] for name in labels},
            "output": ["batch", made_channels, side, side],
            "dims": {"batch": BATCH},
            "conditioning": {"t": {"embed": "sinusoidal", "dim": shapes["t_embedder.mlp.0.weight"][1]}} | labels,
            "dit": {
                "patch_size": patch,
                "hidden_size": width,
                "depth": len(shapes.numbered("blocks.")),
                "num_heads": heads(width, ask),
                "mlp_ratio": shapes["blocks.0.mlp.fc1.weight"][0] / width,
                "modulation": _MODULATIONS[modulation[0] // width] if modulation else "none",
            }
            | ({} if modulation else {"context": {"input": "conditioning", "attention": "in_context"}}),
        }
        comments = {
            "x": "noisy image or latent", "t": "timestep", "y": "class",
            "output": "noise and learned variance" if made_channels == 2 * channels else "prediction",
        }  # fmt: skip
        return Draft(data, comments)


class DiffusersDiT(Kind, part="dit"):
    """Each block has a copy of the embeddings; positions are not stored."""

    signs = (
        "pos_embed.proj.weight",
        "transformer_blocks.0.norm1.emb.timestep_embedder.linear_1.weight",
        "proj_out_2.weight",
    )
    words = "a DiT of diffusers"

    @classmethod
    def draft(cls, shapes: Shapes, ask: Ask) -> Draft:
        width, channels, patch = shapes["pos_embed.proj.weight"][:3]
        number = heads(width, ask)
        settings: dict[str, Any] = {
            "num_attention_heads": number,
            "attention_head_dim": width // number,
            "in_channels": channels,
            "out_channels": shapes["proj_out_2.weight"][0] // patch**2,
            "num_layers": len(shapes.numbered("transformer_blocks.")),
            "patch_size": patch,
            "num_embeds_ada_norm": shapes["transformer_blocks.0.norm1.emb.class_embedder.embedding_table.weight"][0]
            - 1,
            "sample_size": ask.value("size", 32, "DiT at 256x256", "the side of the latent"),
            "norm_eps": 1e-6,
        }
        draft = made("diffusers", "DiTTransformer2DModel", settings, ask.options)
        time = {**draft.data["conditioning"]["t"], "freq_shift": 0}
        ask.assumed.append("numerics are those of DiT's own code; diffusers has freq_shift 1 and mlp_norm_eps 1e-5")
        return replace(draft, data={**draft.data, "conditioning": {**draft.data["conditioning"], "t": time}})

    @classmethod
    def numbers(cls, shapes: Shapes) -> int:
        copies = [block.below("norm1.emb.").numbers for block in shapes.numbered("transformer_blocks.")]
        return shapes.numbers - sum(copies[1:])


def heads(width: int, ask: Ask) -> int:
    """The number of heads: that of a published size, or what is asked for."""
    usual = {"num_heads": HEADS[width]} if width in HEADS else {}
    return ask.heads([width], usual=usual, lineage=f"DiT of width {width}")[0]
