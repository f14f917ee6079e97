"""FluxTransformer2DModel of diffusers: FLUX.1."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

from netspec.embeds.sinusoidal import Sinusoidal
from netspec.families.dit import DiT
from netspec.importers import Draft, Importer, Options
from netspec.importers import common as settings
from netspec.importers.dit import SINUSOIDS
from netspec.importers.foreign import Config
from netspec.plan import Plan
from netspec.positions.rope import Rope
from netspec.spec import Spec

_DIMS = {
    "batch": {"min": 1, "opt": 1, "max": 4},
    "tokens": {"min": 256, "opt": 4096, "max": 8192},  # a picture of 256x256, of 1024x1024, of twice that
    "length": {"min": 64, "opt": 512, "max": 512},
}


class Flux(Importer, of="FluxTransformer2DModel"):
    """Blocks of two streams, then of one, on packed patches whose coordinates are inputs."""

    defaults = MappingProxyType(
        {
            "patch_size": 1, "in_channels": 64, "out_channels": None, "num_layers": 19, "num_single_layers": 38,
            "attention_head_dim": 128, "num_attention_heads": 24, "joint_attention_dim": 4096,
            "pooled_projection_dim": 768, "guidance_embeds": False, "axes_dims_rope": [16, 56, 56],
        }
    )  # fmt: skip

    @classmethod
    def to_spec(cls, config: Config, options: Options) -> Draft:
        head, channels = config.number("attention_head_dim"), config.number("in_channels")
        made = config.number("out_channels") if config["out_channels"] else channels
        axes = config["axes_dims_rope"]
        if sum(axes) != head:
            config.contradict("axes_dims_rope", f"they sum up to {sum(axes)}, a head has {head} channels")
        time = {"embed": "sinusoidal", "dim": SINUSOIDS, "scale": 1000}
        inputs: dict[str, Any] = {
            "img": ["batch", "tokens", channels],
            "img_ids": ["batch", "tokens", len(axes)],
            "txt": ["batch", "length", config.number("joint_attention_dim")],
            "txt_ids": ["batch", "length", len(axes)],
            "t": ["batch"],
            "pooled": ["batch", config.number("pooled_projection_dim")],
        }
        guided = bool(config["guidance_embeds"])
        data = {
            "netspec": 1,
            "name": options.name or "mmdit",
            "inputs": inputs | ({"guidance": ["batch"]} if guided else {}),
            "output": ["batch", "tokens", made],
            "dims": _DIMS | ({"length": options.tokens} if options.tokens else {}),
            "conditioning": {"t": time, "pooled": {"embed": "mlp"}} | ({"guidance": time} if guided else {}),
            "dit": {
                "patch_size": "none",
                "hidden_size": head * config.number("num_attention_heads"),
                "depth": config.number("num_layers"),
                "single_depth": config["num_single_layers"],
                "head_dim": head,
                "qk_norm": "rms",
                "context": {"input": "txt", "attention": "joint", "ids": "txt_ids"},
                "pos_embed": {"type": "rope", "axes": axes, "ids": "img_ids"},
            },
        }
        config.among("patch_size", 1, why="patches are packed before the network gets them")
        config.finish()
        comments = {"img": "noisy latent, packed patches", "img_ids": "(0, row, column) of each patch",
                    "txt": "tokens of the text encoder", "txt_ids": "zeros", "t": "time, 0 to 1",
                    "pooled": "pooled text", "guidance": "strength of guidance", "output": "velocity"}  # fmt: skip
        return Draft(data, comments)

    @classmethod
    def fits(cls, spec: Spec) -> bool:
        dit = spec.family
        if not isinstance(dit, DiT) or dit.context is None or dit.context.attention != "joint":
            return False
        return isinstance(dit.pos_embed, Rope)

    @classmethod
    def to_config(cls, plan: Plan) -> dict[str, Any]:
        spec, dit = plan.spec, plan.spec.family
        assert isinstance(dit, DiT)  # `fits` asked
        assert isinstance(dit.pos_embed, Rope)
        assert dit.context is not None
        vectors = [plan.inputs[name] for name in spec.embedded if len(plan.inputs[name].shape) == 2]
        times = [rule for rule in spec.conditioning.values() if isinstance(rule, Sinusoidal)]
        return settings.heads(dit) | {
            "in_channels": plan.inputs[dit.mains(spec, plan.inputs)[0]].channels,
            "out_channels": next(iter(plan.outputs.values())).type.channels,
            "num_layers": dit.depth,
            "num_single_layers": dit.single_depth,
            "joint_attention_dim": plan.inputs[dit.context.input].channels,
            "pooled_projection_dim": vectors[0].channels if vectors else 768,
            "guidance_embeds": len(times) > 1,
            "axes_dims_rope": list(dit.pos_embed.axes),
        }
