"""Autoencoders, as taming-transformers and as diffusers store them."""

from __future__ import annotations

from netspec.importers import Draft
from netspec.importers.autoencoders import Halves
from netspec.importers.checkpoint import Ask, Kind, Shapes

CODEBOOK = "quantize."  # stands between the halves
CONVOLUTIONS = ("downsample.conv.weight", "downsamplers.0.conv.weight")


class Taming(Kind, part="autoencoder"):
    """Both halves under the names of latent diffusion; levels of the decoder count from full resolution, too."""

    signs = (
        "encoder.conv_in.weight",
        "decoder.conv_in.weight",
        "encoder.mid.block_1.conv1.weight",
        "decoder.norm_out.weight",
    )
    words = "an autoencoder of latent diffusion"
    beside = ("loss.", CODEBOOK)

    @classmethod
    def draft(cls, shapes: Shapes, ask: Ask) -> Draft:
        levels = shapes.numbered("encoder.down.")
        return _draft(
            shapes,
            [level["block.0.conv1.weight"][0] for level in levels],
            ["attn.0.q.weight" in level for level in levels],
            len(levels[0].numbered("block.")),
            "encoder.mid.attn_1.q.weight" in shapes,
            ask,
        )


class DiffusersAutoencoder(Kind, part="autoencoder"):
    """Both halves under the names of diffusers."""

    signs = (
        "encoder.conv_in.weight",
        "decoder.conv_in.weight",
        "encoder.mid_block.resnets.0.conv1.weight",
        "decoder.conv_norm_out.weight",
    )
    words = "an autoencoder of diffusers"
    beside = (CODEBOOK,)

    @classmethod
    def draft(cls, shapes: Shapes, ask: Ask) -> Draft:
        levels = shapes.numbered("encoder.down_blocks.")
        return _draft(
            shapes,
            [level["resnets.0.conv1.weight"][0] for level in levels],
            [any(name.startswith("attentions.0.") for name in level) for level in levels],
            len(levels[0].numbered("resnets.")),
            any(name.startswith("encoder.mid_block.attentions.0.") for name in shapes),
            ask,
        )


def _draft(shapes: Shapes, widths: list[int], attention: list[bool], blocks: int, middle: bool, ask: Ask) -> Draft:
    """Levels from full resolution down; what goes in and out has the same names in both programs."""
    quant = "post_quant_conv.weight" in shapes
    inside = shapes["decoder.conv_in.weight"][1]
    latent = shapes["post_quant_conv.weight"][1] if quant else inside
    return Halves(
        channels=shapes["encoder.conv_in.weight"][1],
        out_channels=shapes["decoder.conv_out.weight"][0],
        latent=latent,
        widths=widths,
        attention=attention,
        blocks=blocks,
        middle=middle,
        quant=quant,
        inside=inside,
        moments=shapes["encoder.conv_out.weight"][0] // inside,
        learned=len(widths) == 1 or any(name.endswith(CONVOLUTIONS) for name in shapes),
        groups=ask.groups,
    ).draft(ask.options)
