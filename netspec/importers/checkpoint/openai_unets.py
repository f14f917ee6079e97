"""U-Nets as latent diffusion and guided-diffusion store them."""

from __future__ import annotations

from typing import Any

from netspec.importers import Draft
from netspec.importers.checkpoint import Ask, Kind, Shapes, made


class OpenAIUNet(Kind, part="unet"):
    """Blocks are numbered through; the decoder's tell where levels end, since an upsampling ends each but the last."""

    signs = ("input_blocks.0.0.weight", "time_embed.0.weight", "middle_block.0.in_layers.0.weight", "out.2.weight")
    words = "a U-Net of latent diffusion or guided-diffusion"

    @classmethod
    def draft(cls, shapes: Shapes, ask: Ask) -> Draft:
        levels = _levels(shapes)[::-1]
        base, middle = shapes["time_embed.0.weight"][1], shapes.below("middle_block.1.")
        widths = [level[0]["0.out_layers.3.weight"][0] for level in levels]
        depths = [_depth(level[0]) for level in levels]
        plain = [_attention(level[0]) and not depth for level, depth in zip(levels, depths, strict=True)]
        attended = [bool(depth or here) for depth, here in zip(depths, plain, strict=True)]
        context = shapes.any("attn2.to_k.weight")
        settings: dict[str, Any] = {
            "in_channels": shapes["input_blocks.0.0.weight"][1],
            "out_channels": shapes["out.2.weight"][0],
            "model_channels": base,
            "channel_mult": [width / base for width in widths],
            "num_res_blocks": [len(level) - 1 for level in levels],
            "attention_resolutions": [2**index for index, here in enumerate(attended) if here],
            "transformer_depth": [depth or 1 for depth in depths],
            "transformer_depth_middle": _depth(middle, "") or 1,
            "context_dim": context[1] if context else None,
            "use_spatial_transformer": context is not None,
            "use_scale_shift_norm": shapes["middle_block.0.emb_layers.1.weight"][0] == 2 * widths[-1],
            "resblock_updown": not any(name.endswith(".op.weight") for name in shapes) and len(levels) > 1,
            "disable_self_attentions": [_crossed(level[0], "1.") for level in levels],
            "disable_middle_self_attn": _crossed(middle, ""),
        }
        sites = [width for width, here in zip([*widths, widths[-1]], [*attended, True], strict=True) if here]
        ask.asked.add("groups")
        settings |= _heads(shapes, context[1] if context else None, sites, ask) | _vector(shapes)
        settings["image_size"] = ask.value("size", 64, "most latents", "the side of the image or latent")
        return made("CompVis", "openaimodel.UNetModel", settings, ask.options)


def _levels(shapes: Shapes) -> list[list[Shapes]]:
    """The decoder's blocks by level, the deepest first."""
    found: list[list[Shapes]] = [[]]
    for block in shapes.numbered("output_blocks."):
        found[-1].append(block)
        if _upsamples(block):
            found.append([])
    return found


def _upsamples(block: Shapes) -> bool:
    """Whether a block ends with a change of size: a convolution, or a second residual block."""
    return any(f"{n}.conv.weight" in block or f"{n}.in_layers.2.weight" in block for n in (1, 2))


def _depth(block: Shapes, start: str = "1.") -> int:
    return len(block.numbered(f"{start}transformer_blocks."))


def _attention(block: Shapes) -> bool:
    return "1.qkv.weight" in block


def _crossed(block: Shapes, start: str) -> bool:
    """Whether the first attention reads what the second one reads, and not the image."""
    first, second = (block.get(f"{start}transformer_blocks.0.attn{n}.to_k.weight") for n in (1, 2))
    return first is not None and second is not None and first[1] == second[1] != first[0]


def _heads(shapes: Shapes, context: int | None, widths: list[int], ask: Ask) -> dict[str, int]:
    """Heads by their number, or by their width where that is given. Stable Diffusion 1 has 8 everywhere; since then
    projections are linear layers and heads 64 wide."""
    linear = len(shapes.any("proj_in.weight") or ()) == 2
    if linear:
        usual, lineage = {"head_dim": 64}, "Stable Diffusion 2 and XL"
    elif context in (768, 1280):
        usual, lineage = {"num_heads": 8}, "Stable Diffusion 1"
    else:
        usual, lineage = {}, ""
    numbers = ask.heads(widths, usual=usual, lineage=lineage)
    if len(set(numbers)) == 1 and not ask.options.head_dim:
        return {"num_heads": numbers[0]}
    return {"num_head_channels": widths[0] // numbers[0]}


def _vector(shapes: Shapes) -> dict[str, Any]:
    if (table := shapes.get("label_emb.weight")) is not None:
        return {"num_classes": table[0]}
    if (linear := shapes.get("label_emb.0.0.weight")) is not None:
        return {"num_classes": "sequential", "adm_in_channels": linear[1]}
    return {}
