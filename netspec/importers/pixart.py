"""PixArtTransformer2DModel of diffusers: PixArt-alpha and PixArt-Sigma."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

from netspec.embeds.numbers import Numbers
from netspec.families.dit import DiT
from netspec.importers import BATCH, Draft, Importer, Options
from netspec.importers import common as settings
from netspec.importers.dit import ACTIVATIONS, SINUSOIDS
from netspec.importers.foreign import Config
from netspec.plan import Plan
from netspec.spec import Spec

_TOKENS = {"min": 1, "opt": 120, "max": 300}  # of the caption, in the first paper and in the second


class PixArt(Importer, of="PixArtTransformer2DModel"):
    """Blocks that share one modulation and read a caption; positions that every image has of its own."""

    defaults = MappingProxyType(
        {
            "num_attention_heads": 16, "attention_head_dim": 72, "in_channels": 4, "out_channels": 8, "num_layers": 28,
            "dropout": 0.0, "norm_num_groups": 32, "cross_attention_dim": 1152, "attention_bias": True,
            "sample_size": 128, "patch_size": 2, "activation_fn": "gelu-approximate", "num_embeds_ada_norm": 1000,
            "upcast_attention": False, "norm_type": "ada_norm_single", "norm_elementwise_affine": False,
            "norm_eps": 1e-6, "interpolation_scale": None, "use_additional_conditions": None, "caption_channels": None,
            "attention_type": "default",
        }
    )  # fmt: skip

    @classmethod
    def to_spec(cls, config: Config, options: Options) -> Draft:
        heads, head, patch = (config.number(key) for key in ("num_attention_heads", "attention_head_dim", "patch_size"))
        trained, channels = config.number("sample_size"), config.number("in_channels")
        side, made = options.size or trained, config.number("out_channels") if config["out_channels"] else channels
        sizes = {"min": max(patch, side // 2 // patch * patch), "opt": side, "max": 2 * side}
        told, wanted = {}, config["use_additional_conditions"]
        if trained == 128 if wanted is None else wanted:
            told = {"sizes": {"embed": "numbers", "of": ["resolution", "aspect_ratio"], "dim": SINUSOIDS}}
        inputs: dict[str, Any] = {
            "x": ["batch", channels, "height", "width"],
            "t": ["batch"],
            "text": ["batch", "tokens", _caption(config, heads * head)],
            "text_mask": ["batch", "tokens"],
        }
        span = trained // patch / (config["interpolation_scale"] or max(trained // 64, 1))
        data = {
            "netspec": 1,
            "name": options.name or "dit",
            "inputs": inputs | ({"resolution": ["batch", 2], "aspect_ratio": ["batch", 1]} if told else {}),
            "output": ["batch", made, "height", "width"],
            "dims": {"batch": BATCH, "height": sizes, "width": sizes, "tokens": options.tokens or _TOKENS},
            "conditioning": {"t": {"embed": "sinusoidal", "dim": SINUSOIDS}} | told,
            "dit": {
                "patch_size": patch,
                "hidden_size": heads * head,
                "depth": config.number("num_layers"),
                "num_heads": heads,
                "act": ACTIVATIONS[config.among("activation_fn", *ACTIVATIONS, why="no such activation here")],
                "modulation": "adaln_single",
                "pos_embed": {"type": "sincos", "span": span},
                "context": {
                    "input": "text", "mask": "text_mask", "norm": "none",
                    "project": "none" if config["caption_channels"] is None else "mlp",
                },
            },
        }  # fmt: skip
        config.ignore("dropout", "norm_num_groups", "upcast_attention", "num_embeds_ada_norm")
        config.among("attention_bias", True, why="queries, keys and values have biases")
        config.among("norm_type", "ada_norm_single", why="blocks share one modulation")
        config.among("norm_elementwise_affine", False, why="modulated norms have no gains of their own")
        config.among("norm_eps", 1e-6, why="norms have an eps of 1e-6")
        config.among("attention_type", "default", why="blocks that read a second sequence (GLIGEN)")
        config.finish()
        comments = {
            "x": "noisy latent", "t": "timestep", "text": "hidden states of the text encoder",
            "text_mask": "1 for a token, 0 for padding", "resolution": "height and width in pixels",
            "aspect_ratio": "height / width",
            "output": "noise and learned variance" if made == 2 * channels else "prediction",
        }  # fmt: skip
        return Draft(data, comments)

    @classmethod
    def fits(cls, spec: Spec) -> bool:
        return isinstance(spec.family, DiT) and spec.family.modulation.shared and spec.family.context is not None

    @classmethod
    def to_config(cls, plan: Plan) -> dict[str, Any]:
        spec, dit = plan.spec, plan.spec.family
        assert isinstance(dit, DiT)  # `fits` asked
        assert dit.context is not None
        image, patch = plan.inputs[dit.mains(spec, plan.inputs)[0]], dit.patch_size or 1
        side = image.sizes[0].opt
        places = side // patch
        span = getattr(dit.pos_embed, "span", None) or places / getattr(dit.pos_embed, "scale", 1)
        told = dit.context.input in plan.inputs
        return settings.heads(dit) | {
            "in_channels": image.channels,
            "out_channels": next(iter(plan.outputs.values())).type.channels,
            "num_layers": dit.depth,
            "cross_attention_dim": dit.hidden_size,
            "sample_size": side,
            "patch_size": patch,
            "activation_fn": "gelu" if getattr(dit.act, "approximate", "tanh") == "erf" else "gelu-approximate",
            "interpolation_scale": settings.whole(places / span),
            "use_additional_conditions": any(isinstance(rule, Numbers) for rule in spec.conditioning.values()),
            "caption_channels": plan.inputs[dit.context.input].channels if told else None,
        }


def _caption(config: Config, width: int) -> int:
    """The width of the caption as the network gets it."""
    if config["cross_attention_dim"] != width:
        config.refuse("cross_attention_dim", f"blocks of {width} read tokens of that width")
    return config.number("caption_channels") if config["caption_channels"] is not None else width
