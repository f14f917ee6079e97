"""AutoencoderKL of diffusers: the autoencoders of latent diffusion."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

from netspec.families.autoencoder import Autoencoder
from netspec.importers import Draft, Importer, Options
from netspec.importers import common as settings
from netspec.importers.autoencoders import Halves
from netspec.importers.foreign import Config
from netspec.plan import Plan
from netspec.spec import Spec

_DOWN = {"DownEncoderBlock2D": ("", "conv"), "AttnDownEncoderBlock2D": ("attention", "conv")}
_UP = {"UpDecoderBlock2D": ("", "conv"), "AttnUpDecoderBlock2D": ("attention", "conv")}


class AutoencoderImporter(Importer, of="AutoencoderKL"):
    """An encoder and a decoder that mirror each other."""

    defaults = MappingProxyType(
        {
            "in_channels": 3, "out_channels": 3, "down_block_types": ["DownEncoderBlock2D"],
            "up_block_types": ["UpDecoderBlock2D"], "block_out_channels": [64], "layers_per_block": 1, "act_fn": "silu",
            "latent_channels": 4, "norm_num_groups": 32, "sample_size": 32, "scaling_factor": 0.18215,
            "shift_factor": None, "latents_mean": None, "latents_std": None, "force_upcast": True,
            "use_quant_conv": True, "use_post_quant_conv": True, "mid_block_add_attention": True,
        }
    )  # fmt: skip

    @classmethod
    def to_spec(cls, config: Config, options: Options) -> Draft:
        down, _ = settings.side(config, "down_block_types", _DOWN, "conv")
        up, _ = settings.side(config, "up_block_types", _UP, "conv")
        if down != up[::-1]:
            config.contradict("up_block_types", "attention stands at other levels than in `down_block_types`")
        if config["use_quant_conv"] != config["use_post_quant_conv"]:
            config.refuse("use_post_quant_conv", "a convolution between the latent and one half alone")
        halves = Halves(
            channels=config.number("in_channels"),
            out_channels=config.number("out_channels"),
            latent=config.number("latent_channels"),
            widths=settings.widths(config),
            attention=[bool(kind) for kind in down],
            blocks=config.number("layers_per_block"),
            middle=bool(config["mid_block_add_attention"]),
            quant=bool(config["use_quant_conv"]),
            groups=config.number("norm_num_groups"),
            act=settings.activation(config),
            size=max(settings.size(config)),
        )
        config.ignore("scaling_factor", "shift_factor", "latents_mean", "latents_std", "force_upcast")  # the caller's
        config.finish()
        return halves.draft(options)

    @classmethod
    def fits(cls, spec: Spec) -> bool:
        return isinstance(spec.family, Autoencoder)

    @classmethod
    def to_config(cls, plan: Plan) -> dict[str, Any]:
        family = plan.spec.family
        assert isinstance(family, Autoencoder)  # `fits` asked
        attended = [level.attention is not None for level in family.levels]
        inputs, outputs = plan.inputs, plan.outputs
        encoder, decoder = family.encoder, family.decoder
        image = inputs[encoder.input] if encoder else outputs[decoder.output].type if decoder else None
        decoded = outputs[decoder.output].type if decoder else image
        latent = (
            inputs[decoder.input].channels if decoder else outputs[encoder.output].type.channels // 2 if encoder else 1
        )
        assert image is not None  # one half is there
        assert decoded is not None
        return {
            "sample_size": image.sizes[0].opt,
            "in_channels": image.channels,
            "out_channels": decoded.channels,
            "down_block_types": ["AttnDownEncoderBlock2D" if here else "DownEncoderBlock2D" for here in attended],
            "up_block_types": ["AttnUpDecoderBlock2D" if here else "UpDecoderBlock2D" for here in reversed(attended)],
            "block_out_channels": settings.level_widths(family),
            "layers_per_block": settings.level_blocks(family)[0],
            "act_fn": settings.foreign_activation(family.block),
            "latent_channels": latent,
            "norm_num_groups": getattr(getattr(family.block, "norm", None), "groups", 32),
            "use_quant_conv": family.quant is not None,
            "use_post_quant_conv": family.quant is not None,
            "mid_block_add_attention": bool(family.mid and family.mid.attention),
        }
