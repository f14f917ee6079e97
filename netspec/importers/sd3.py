"""SD3Transformer2DModel of diffusers: Stable Diffusion 3 and 3.5."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

from netspec.families.dit import DiT
from netspec.importers import BATCH, Draft, Importer, Options
from netspec.importers import common as settings
from netspec.importers.dit import SINUSOIDS
from netspec.importers.foreign import Config
from netspec.plan import Plan
from netspec.positions.rope import Rope
from netspec.spec import Spec

_TOKENS = {"min": 77, "opt": 154, "max": 589}  # both CLIPs' alone, to those and 512 of T5
_NORMS = {None: "none", "rms_norm": "rms", "layer_norm": "layer"}


class SD3(Importer, of="SD3Transformer2DModel"):
    """Blocks of two streams; a timestep, pooled text, and positions from the middle of a table."""

    defaults = MappingProxyType(
        {
            "sample_size": 128, "patch_size": 2, "in_channels": 16, "num_layers": 18, "attention_head_dim": 64,
            "num_attention_heads": 18, "joint_attention_dim": 4096, "caption_projection_dim": 1152,
            "pooled_projection_dim": 2048, "out_channels": 16, "pos_embed_max_size": 96, "dual_attention_layers": [],
            "qk_norm": None,
        }
    )  # fmt: skip

    @classmethod
    def to_spec(cls, config: Config, options: Options) -> Draft:
        heads, head, patch = (config.number(key) for key in ("num_attention_heads", "attention_head_dim", "patch_size"))
        channels, grid, depth = (config.number(key) for key in ("in_channels", "pos_embed_max_size", "num_layers"))
        trained = config.number("sample_size") // patch  # places per side
        side = min(options.size or config.number("sample_size"), grid * patch)
        range = {"min": max(patch, side // 2 // patch * patch), "opt": side, "max": min(2 * side, grid * patch)}
        made = config.number("out_channels") if config["out_channels"] else channels
        tokens = {"tokens": options.tokens or _TOKENS}
        data = {
            "netspec": 1,
            "name": options.name or "mmdit",
            "inputs": {
                "x": ["batch", channels, "height", "width"],
                "t": ["batch"],
                "pooled": ["batch", config.number("pooled_projection_dim")],
                "text": ["batch", "tokens", config.number("joint_attention_dim")],
            },
            "output": ["batch", made, "height", "width"],
            "dims": {"batch": BATCH, "height": range, "width": range} | tokens,
            "conditioning": {"t": {"embed": "sinusoidal", "dim": SINUSOIDS}, "pooled": {"embed": "mlp"}},
            "dit": {
                "patch_size": patch,
                "hidden_size": heads * head,
                "depth": depth,
                "head_dim": head,
                "qk_norm": _NORMS[config.among("qk_norm", *_NORMS, why="no such norm of queries and keys here")],
                "context": {"input": "text", "attention": "joint", "update_last": False},
                "dual_attention": _dual(config, depth),
                "pos_embed": {"type": "sincos", "grid": grid, "crop": "center", "scale": grid / trained},
            },
        }
        config.among("caption_projection_dim", heads * head, why="the context has the width of the blocks")
        config.finish()
        comments = {"x": "noisy latent", "t": "timestep, 0 to 1000", "pooled": "pooled text",
                    "text": "tokens of the text encoders", "output": "velocity"}  # fmt: skip
        return Draft(data, comments)

    @classmethod
    def fits(cls, spec: Spec) -> bool:
        dit = spec.family
        if not isinstance(dit, DiT) or dit.context is None or dit.context.attention != "joint":
            return False
        return not isinstance(dit.pos_embed, Rope)

    @classmethod
    def to_config(cls, plan: Plan) -> dict[str, Any]:
        dit = plan.spec.family
        assert isinstance(dit, DiT)  # `fits` asked
        assert dit.context is not None
        image, patch = plan.inputs[dit.mains(plan.spec, plan.inputs)[0]], dit.patch_size or 1
        grid = getattr(dit.pos_embed, "grid", None) or max(size.at("max") for size in image.sizes) // patch
        vectors = [plan.inputs[name] for name in plan.spec.embedded if len(plan.inputs[name].shape) == 2]
        dual = dit.dual_attention
        return settings.heads(dit) | {
            "sample_size": round(patch * grid / getattr(dit.pos_embed, "scale", 1)),
            "patch_size": patch,
            "in_channels": image.channels,
            "num_layers": dit.depth,
            "joint_attention_dim": plan.inputs[dit.context.input].channels,
            "caption_projection_dim": dit.hidden_size,
            "pooled_projection_dim": vectors[0].channels if vectors else 2048,
            "out_channels": next(iter(plan.outputs.values())).type.channels,
            "pos_embed_max_size": grid,
            "dual_attention_layers": list(range(dual)) if isinstance(dual, int) else list(dual),
            "qk_norm": next(theirs for theirs, ours in _NORMS.items() if ours == dit.qk_norm),
        }


def _dual(config: Config, depth: int) -> int | list[int]:
    """Blocks with a second attention: how many, where they are the first ones."""
    found = sorted(config["dual_attention_layers"] or [])
    if any(index >= depth for index in found):
        config.contradict("dual_attention_layers", f"there are {depth} blocks")
        return 0
    return len(found) if found == list(range(len(found))) else found
