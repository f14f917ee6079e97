"""What several classes of diffusers call by one name, in both directions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from math import gcd
from typing import Any

from netspec.blocks import Block
from netspec.embeds.label import Label
from netspec.embeds.sinusoidal import Sinusoidal
from netspec.families.dit import DiT
from netspec.families.levels import Level, Levelled
from netspec.families.unet import UNet
from netspec.importers.foreign import Config
from netspec.importers.unets import USUAL_SIDE, Embedding
from netspec.plan import Plan

ACTIVATIONS = {"silu": "silu", "swish": "silu", "relu": "relu", "gelu": "gelu"}
_MODULATIONS = {"default": "add", "scale_shift": "scale_shift"}
_PADDINGS = {1: "symmetric", 0: "asymmetric"}
PRECISE = ("upcast_attention",)  # how exactly something is computed, not what


# From settings to a spec


def widths(config: Config) -> list[int]:
    """The channels of each level."""
    found = config["block_out_channels"]
    if not isinstance(found, list) or not found or not all(isinstance(each, int) and each > 0 for each in found):
        config.fail("block_out_channels", "a list of whole numbers is expected")
    return list(found)


def side(config: Config, key: str, types: Mapping[str, tuple[str, str]], resampling: str) -> tuple[list[str], str]:
    """What stands in each level's blocks ("attention", "transformer" or nothing), and how all of them resample.

    `types` maps a block type to both; a type that resamples as `""` does what `resampling` says. The deepest level
    (the last to go down, the first to go up) does not resample going down, nor does the last one going up.
    """
    found = config[key]
    if not isinstance(found, list) or len(found) != len(widths(config)):
        config.fail(key, "one type for each of `block_out_channels` is expected")
    if unknown := [each for each in found if each not in types]:
        config.fail(key, f"{unknown[0]} has no counterpart")
    ways = {types[each][1] or resampling for each in found[:-1]}
    if len(ways) > 1:
        config.refuse(key, "levels that change the resolution in different ways")
    return [types[each][0] for each in found], min(ways, default="conv")


def size(config: Config) -> Sequence[int]:
    """Height and width that the network was trained at."""
    given = config["sample_size"] or USUAL_SIDE
    return given if isinstance(given, list) else (given, given)


def time(config: Config, width: int) -> dict[str, Any]:
    """The timestep's embedding: as many sines and cosines as the first level has channels."""
    config.among("time_embedding_type", "positional", why="only sines and cosines of fixed frequencies")
    if config["time_embedding_dim"] not in (None, 4 * width):
        config.refuse("time_embedding_dim", f"the vector is 4 x {width} wide here")
    order = "cos_sin" if config["flip_sin_to_cos"] else "sin_cos"
    return {"dim": width, "order": order, "freq_shift": config["freq_shift"]}


def classes(config: Config, time: Mapping[str, Any]) -> dict[str, Embedding]:
    """The embedding of a class label, where there is one."""
    kind, count = config["class_embed_type"], config["num_class_embeds"]
    if kind == "timestep":
        rule = {"embed": "sinusoidal", **time}
        return {"y": Embedding(rule, {"y": ["batch"]}, {"y": "a second number, embedded as the timestep is"})}
    if kind is not None:
        config.refuse("class_embed_type", "no such embedding here")
    elif count is not None:
        rule = {"embed": "label", "classes": config.number("num_class_embeds")}
        return {"y": Embedding(rule, {"y": ["batch"]}, {"y": "class"})}
    return {}


def modulation(config: Config) -> str:
    """How the vector enters the blocks."""
    return _MODULATIONS[
        config.among("resnet_time_scale_shift", *_MODULATIONS, why="blocks add the vector, or scale and shift by it")
    ]


def activation(config: Config) -> str:
    """The activation of the blocks."""
    return ACTIVATIONS[config.among("act_fn", *ACTIVATIONS, why="no such activation here")]


def downsample(config: Config, way: str) -> Any:
    """How levels halve: by a residual block, or by a convolution with this padding."""
    padding = config.among("downsample_padding", *_PADDINGS, why="1 on all sides, or (0) right and bottom alone")
    return "resnet" if way == "resnet" else {"type": "conv", "padding": _PADDINGS[padding]}


# From a spec to settings


def level_widths(family: Levelled) -> list[int]:
    """The channels of each level, whichever way they are written."""
    return [_width(family, level) for level in family.levels]


def _width(family: Levelled, level: Level) -> int:
    return level.channels or int(Fraction(str(level.multiplier)) * (family.base_channels or 1))


def level_blocks(family: Levelled) -> list[int]:
    """The blocks of each level of the encoder."""
    return [level.blocks or family.blocks_per_level for level in family.levels]


def one(values: Sequence[Any]) -> Any:
    """The value that all levels share, else the list of them."""
    return values[0] if len({repr(each) for each in values}) == 1 else list(values)


def joined_channels(plan: Plan) -> int:
    """Channels of everything that makes up the image."""
    return sum(plan.inputs[name].channels for name in plan.spec.family.mains(plan.spec, plan.inputs))


def common(plan: Plan) -> dict[str, Any]:
    """Settings of both classes that come closest to a spec."""
    spec, unet = plan.spec, plan.spec.family
    assert isinstance(unet, UNet)  # `fits` asked
    image = plan.inputs[unet.mains(spec, plan.inputs)[0]]
    times = [rule for rule in spec.conditioning.values() if isinstance(rule, Sinusoidal)]
    labels = [rule for rule in spec.conditioning.values() if isinstance(rule, Label)]
    norm, padding = getattr(unet.block, "norm", None), getattr(unet.downsample, "padding", "symmetric")
    shifts = {ours: theirs for theirs, ours in _MODULATIONS.items()}
    time = times[0] if times else None
    return {
        "sample_size": one([size.opt for size in image.sizes]),
        "in_channels": joined_channels(plan),
        "out_channels": next(iter(plan.outputs.values())).type.channels,
        "flip_sin_to_cos": getattr(time, "order", "cos_sin") == "cos_sin",
        "freq_shift": whole(getattr(time, "freq_shift", 0)),
        "block_out_channels": level_widths(unet),
        "downsample_padding": next(key for key, word in _PADDINGS.items() if word == padding),
        "dropout": getattr(unet.block, "dropout", 0.0),
        "act_fn": foreign_activation(unet.block),
        "norm_num_groups": getattr(norm, "groups", gcd(32, *level_widths(unet))),
        "norm_eps": getattr(norm, "eps", 1e-5),
        "resnet_time_scale_shift": shifts.get(unet.block.modulation, "default"),
        "class_embed_type": "timestep" if len(times) > 1 else None,
        "num_class_embeds": labels[0].rows if labels and len(times) == 1 else None,
    }


def heads(dit: DiT) -> dict[str, int]:
    """Heads of a transformer, by their number and by their width."""
    number, width = dit.num_heads, dit.head_dim
    number = number or dit.hidden_size // (width or dit.hidden_size)
    return {"num_attention_heads": number, "attention_head_dim": width or dit.hidden_size // number}


def foreign_activation(block: Block) -> str:
    """Their word for a block's activation; of two the first. The usual one where they have none."""
    name = getattr(getattr(block, "act", None), "name", "")
    return next((theirs for theirs, ours in ACTIVATIONS.items() if ours == name), "silu")


def whole(value: float) -> int | float:
    """A number without a fraction that is none."""
    return int(value) if value == int(value) else value
