"""DiTTransformer2DModel of diffusers: DiT."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

from netspec.embeds.label import Label
from netspec.families.dit import DiT
from netspec.importers import BATCH, Draft, Importer, Options
from netspec.importers import common as settings
from netspec.importers.foreign import Config
from netspec.plan import Plan
from netspec.spec import Spec

ACTIVATIONS = {
    "gelu-approximate": {"type": "gelu", "approximate": "tanh"},
    "gelu": {"type": "gelu", "approximate": "erf"},
}
SINUSOIDS = 256  # of the timestep
NULL = 0.1  # share of labels dropped in training, which is what makes the row for no class


class DiTImporter(Importer, of="DiTTransformer2DModel"):
    """Blocks of self-attention, modulated by a timestep and a class.

    Two numbers are not those of DiT's own code: the frequencies of the timestep, and by default an eps.
    """

    defaults = MappingProxyType(
        {
            "num_attention_heads": 16, "attention_head_dim": 72, "in_channels": 4, "out_channels": None,
            "num_layers": 28, "dropout": 0.0, "norm_num_groups": 32, "attention_bias": True, "sample_size": 32,
            "patch_size": 2, "activation_fn": "gelu-approximate", "num_embeds_ada_norm": 1000,
            "upcast_attention": False, "norm_type": "ada_norm_zero", "norm_elementwise_affine": False,
            "norm_eps": 1e-5,
        }
    )  # fmt: skip

    @classmethod
    def to_spec(cls, config: Config, options: Options) -> Draft:
        heads, trained, channels = (config.number(key) for key in ("num_attention_heads", "sample_size", "in_channels"))
        side = options.size or trained
        made = config.number("out_channels") if config["out_channels"] else channels
        data = {
            "netspec": 1,
            "name": options.name or "dit",
            "inputs": {"x": ["batch", channels, side, side], "t": ["batch"], "y": ["batch"]},
            "output": ["batch", made, side, side],
            "dims": {"batch": BATCH},
            "conditioning": {
                "t": {
                    "embed": "sinusoidal",
                    "dim": SINUSOIDS,
                    "freq_shift": 1,
                },  # the class has it so; DiT itself has 0
                "y": {"embed": "label", "classes": config.number("num_embeds_ada_norm"), "dropout": NULL},
            },
            "dit": {
                "patch_size": config.number("patch_size"),
                "hidden_size": heads * config.number("attention_head_dim"),
                "depth": config.number("num_layers"),
                "num_heads": heads,
                "act": ACTIVATIONS[config.among("activation_fn", *ACTIVATIONS, why="no such activation here")],
                "mlp_norm_eps": config["norm_eps"],
            },
        }
        config.ignore("dropout", "norm_num_groups", "upcast_attention")
        config.among("attention_bias", True, why="queries, keys and values have biases")
        config.among("norm_type", "ada_norm_zero", why="blocks are modulated by adaLN-Zero")
        config.among("norm_elementwise_affine", False, why="modulated norms have no gains of their own")
        config.finish()
        comments = {
            "x": "noisy latent", "t": "timestep", "y": "class",
            "output": "noise and learned variance" if made == 2 * channels else "prediction",
        }  # fmt: skip
        return Draft(data, comments)

    @classmethod
    def fits(cls, spec: Spec) -> bool:
        return isinstance(spec.family, DiT) and spec.family.context is None and not spec.family.modulation.shared

    @classmethod
    def to_config(cls, plan: Plan) -> dict[str, Any]:
        spec, dit = plan.spec, plan.spec.family
        assert isinstance(dit, DiT)  # `fits` asked
        image = plan.inputs[dit.mains(spec, plan.inputs)[0]]
        labels = [rule for rule in spec.conditioning.values() if isinstance(rule, Label)]
        return settings.heads(dit) | {
            "in_channels": image.channels,
            "out_channels": next(iter(plan.outputs.values())).type.channels,
            "num_layers": dit.depth,
            "sample_size": image.sizes[0].opt,
            "patch_size": dit.patch_size or 1,
            "activation_fn": "gelu" if getattr(dit.act, "approximate", "tanh") == "erf" else "gelu-approximate",
            "num_embeds_ada_norm": labels[0].rows - 1 if labels and labels[0].rows > 1 else 1,
            "norm_eps": dit.mlp_norm_eps,
        }
