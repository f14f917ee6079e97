"""U-Nets as diffusers stores them."""

from __future__ import annotations

from typing import Any

from netspec.importers import Draft
from netspec.importers.checkpoint import Ask, Kind, Shapes, made

_NUMERICS = {  # what shapes do not show of UNet2DModel, by convention
    "ddpm": {"flip_sin_to_cos": False, "freq_shift": 1, "norm_eps": 1e-6, "downsample_padding": 0},
    "ldm": {"flip_sin_to_cos": True, "freq_shift": 0, "norm_eps": 1e-5, "downsample_padding": 1},
}
_NUMERICS["adm"] = _NUMERICS["ldm"]


class DiffusersUNet(Kind, part="unet"):
    """UNet2DModel, and UNet2DConditionModel where transformers or vectors ask for it."""

    signs = (
        "conv_in.weight",
        "time_embedding.linear_1.weight",
        "down_blocks.0.resnets.0.conv1.weight",
        "conv_out.weight",
    )
    words = "a U-Net of diffusers"

    @classmethod
    def draft(cls, shapes: Shapes, ask: Ask) -> Draft:
        levels, up, mid = shapes.numbered("down_blocks."), shapes.numbered("up_blocks."), shapes.below("mid_block.")
        widths = [level["resnets.0.conv1.weight"][0] for level in levels]
        settings: dict[str, Any] = {
            "in_channels": shapes["conv_in.weight"][1],
            "out_channels": shapes["conv_out.weight"][0],
            "block_out_channels": widths,
            "norm_num_groups": ask.groups,
            "resnet_time_scale_shift": _modulation(levels[0], widths[0]),
            "sample_size": ask.value("size", 64, "most latents", "the side of the image or latent"),
        }
        condition = any("transformer_blocks" in name for name in shapes) or any(
            f"{name}.linear_1.weight" in shapes for name in ("class_embedding", "add_embedding")
        )
        if not condition:
            settings |= _plain(shapes, levels, up, mid, widths, ask)
            return made("diffusers", "UNet2DModel", settings, ask.options)
        settings |= _conditional(shapes, levels, up, mid, widths, ask) | _vectors(shapes)
        return made("diffusers", "UNet2DConditionModel", settings, ask.options)


def _plain(
    shapes: Shapes, levels: list[Shapes], up: list[Shapes], mid: Shapes, widths: list[int], ask: Ask
) -> dict[str, Any]:
    attended = [_attends(level) for level in levels]
    halves = any("downsamplers.0.conv1.weight" in level for level in levels)
    doubles = any("upsamplers.0.conv1.weight" in level for level in up)
    scaled = _modulation(levels[0], widths[0]) == "scale_shift"
    words = "DDPM" if not scaled else "ADM"
    convention = ask.options.convention
    ask.asked.add("convention")
    if convention not in _NUMERICS:
        convention = "adm" if scaled else "ddpm"
        ask.assumed.append(f"numerics are those of {words} (`--convention ldm` for latent diffusion's)")
    sites = [width for width, here in zip(widths, attended, strict=True) if here]
    middle = _attends(mid)
    sites += [widths[-1]] * middle
    usual = {} if scaled else {"num_heads": 1}
    numbers = ask.heads(sites, usual=usual, lineage="DDPM") if sites else [1]
    single = all(number == 1 for number in numbers)
    if not single and len({width // number for width, number in zip(sites, numbers, strict=True)}) > 1:
        ask.missing.append("--head-dim N: heads of this class have one width")
        single = True
    return _NUMERICS[convention] | {
        "layers_per_block": len(levels[0].numbered("resnets.")),
        "down_block_types": [_type("Down", here, halves) for here in attended],
        "up_block_types": [_type("Up", here, doubles) for here in reversed(attended)],
        "downsample_type": "resnet" if halves else "conv",
        "upsample_type": "resnet" if doubles else "conv",
        "mid_block_type": "UNetMidBlock2D" if len(mid) else None,
        "add_attention": middle,
        "attn_norm_num_groups": ask.groups if "attentions.0.group_norm.weight" in mid else None,
        "attention_head_dim": None if single or not sites else sites[0] // numbers[0],
        "num_class_embeds": (shapes.get("class_embedding.weight") or (None,))[0],
    }


def _conditional(
    shapes: Shapes, levels: list[Shapes], up: list[Shapes], mid: Shapes, widths: list[int], ask: Ask
) -> dict[str, Any]:
    depths = [_depths(level) for level in levels]
    backs = [_depths(level) for level in up]
    differ = backs[::-1] != depths
    contexts = [level.any("attn2.to_k.weight") for level in (*levels, mid)]
    context = next((shape[1] for shape in contexts if shape), 1280)
    if not depths[-1] and _depth(mid):
        depths[-1] = _depth(mid)
    kinds = [bool(_depth(level)) for level in levels]
    linear = len(shapes.any("proj_in.weight") or ()) == 2
    usual = {"head_dim": 64} if linear else {"num_heads": 8} if context in (768, 1280) else {}
    lineage = "Stable Diffusion 2 and XL" if linear else "Stable Diffusion 1"
    numbers = ask.heads(widths, usual=usual, lineage=lineage) if any(contexts) else [8] * len(widths)
    heads = [
        max(1, width // number) if _attends(level) and not depth else number
        for level, depth, width, number in zip(levels, map(_depth, levels), widths, numbers, strict=True)
    ]
    middle = "UNetMidBlock2DCrossAttn" if _depth(mid) else "UNetMidBlock2D"
    return {
        "layers_per_block": [len(level.numbered("resnets.")) for level in levels],
        "down_block_types": [_cross_type("Down", level, here) for level, here in zip(levels, kinds, strict=True)],
        "up_block_types": [
            _cross_type("Up", level, here) for level, here in zip(levels[::-1], kinds[::-1], strict=True)
        ],
        "mid_block_type": middle if len(mid) else None,
        "transformer_layers_per_block": [depth or 1 for depth in depths],
        "reverse_transformer_layers_per_block": backs if differ else None,
        "attention_head_dim": heads,
        "cross_attention_dim": context,
        "only_cross_attention": [_crossed(level) for level in levels],
        "conv_in_kernel": shapes["conv_in.weight"][2],
        "conv_out_kernel": shapes["conv_out.weight"][2],
        "num_class_embeds": (shapes.get("class_embedding.weight") or (None,))[0],
    }


def _vectors(shapes: Shapes) -> dict[str, Any]:
    """Two linear layers under a name that says what for; unCLIP's and SDXL's."""
    if (added := shapes.get("add_embedding.linear_1.weight")) is not None:
        return {"addition_embed_type": "text_time", "addition_time_embed_dim": 256,
                "projection_class_embeddings_input_dim": added[1]}  # fmt: skip
    if (projected := shapes.get("class_embedding.linear_1.weight")) is not None:
        return {"class_embed_type": "projection", "projection_class_embeddings_input_dim": projected[1]}
    return {}


def _attends(level: Shapes) -> bool:
    return "attentions.0.to_q.weight" in level or "attentions.0.query.weight" in level


def _depth(level: Shapes) -> int:
    return len(level.numbered("attentions.0.transformer_blocks."))


def _depths(level: Shapes) -> int | list[int]:
    """Transformer blocks after each block of a level: one number where it is the same."""
    found = [len(level.numbered(f"attentions.{i}.transformer_blocks.")) for i in range(len(level.numbered("resnets.")))]
    return found[0] if len(set(found)) == 1 else found


def _crossed(level: Shapes) -> bool:
    first, second = (level.get(f"attentions.0.transformer_blocks.0.attn{n}.to_k.weight") for n in (1, 2))
    return first is not None and second is not None and first[1] == second[1] != first[0]


def _modulation(level: Shapes, width: int) -> str:
    return "scale_shift" if level["resnets.0.time_emb_proj.weight"][0] == 2 * width else "default"


def _type(side: str, attended: bool, resnet: bool) -> str:
    word = "sample" if resnet and not attended else ""
    return f"{'Attn' if attended else 'Resnet' if resnet else ''}{side}{word}Block2D"


def _cross_type(side: str, level: Shapes, transformer: bool) -> str:
    return f"{'CrossAttn' if transformer else 'Attn' if _attends(level) else ''}{side}Block2D"
