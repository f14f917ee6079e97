"""UNet2DConditionModel of diffusers: Stable Diffusion 1, 2 and XL, and what grew from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from netspec.attention import Heads
from netspec.embeds.mlp import Mlp
from netspec.families.unet import UNet
from netspec.importers import Draft, Importer, Options
from netspec.importers import common as settings
from netspec.importers.foreign import Config
from netspec.importers.unets import Depth, Embedding, Net, Site
from netspec.plan import Plan
from netspec.spec import Spec

_DOWN = {"DownBlock2D": ("", "conv"), "AttnDownBlock2D": ("attention", "conv"),
         "CrossAttnDownBlock2D": ("transformer", "conv"), "ResnetDownsampleBlock2D": ("", "resnet")}  # fmt: skip
_UP = {"UpBlock2D": ("", "conv"), "AttnUpBlock2D": ("attention", "conv"),
       "CrossAttnUpBlock2D": ("transformer", "conv"), "ResnetUpsampleBlock2D": ("", "resnet")}  # fmt: skip
_DOWN_TYPES = {"": "DownBlock2D", "attention": "AttnDownBlock2D", "transformer": "CrossAttnDownBlock2D"}
_UP_TYPES = {kind: name.replace("Down", "Up") for kind, name in _DOWN_TYPES.items()}
_MIDDLES = {"UNetMidBlock2DCrossAttn": 2, "UNetMidBlock2D": 1, None: 0}  # block type and its number of blocks
_POOLED = 1280  # width of the pooled text of every published network with sizes

_SILENT = (
    "use_linear_projection",
    "upcast_attention",
    "addition_embed_type_num_heads",
    "cross_attention_dim",
    "mid_block_only_cross_attention",
)  # how it is stored or computed, or read by block types that are not here
_ONLY: Mapping[str, tuple[Any, str]] = {
    "center_input_sample": (False, "the image is brought from [0, 1] to [-1, 1] first"),
    "mid_block_scale_factor": (1, "the outputs of the middle's parts are divided by it"),
    "encoder_hid_dim": (None, "the context is projected before the network reads it"),
    "encoder_hid_dim_type": (None, "the context is made of other inputs before the network reads it"),
    "num_attention_heads": (None, "diffusers itself refuses it"),
    "dual_cross_attention": (False, "two transformers side by side, with a context each"),
    "resnet_skip_time_act": (False, "blocks that do not activate the vector"),
    "resnet_out_scale_factor": (1.0, "blocks whose outputs are divided by it"),
    "time_embedding_act_fn": (None, "the vector is activated before blocks get it"),
    "timestep_post_act": (None, "the timestep's embedding is activated once more"),
    "time_cond_proj_dim": (None, "a vector (a guidance scale) is projected and added to the timestep's sinusoids"),
    "attention_type": ("default", "transformers that read a second sequence (GLIGEN)"),
    "class_embeddings_concat": (False, "the class stands beside the timestep's vector, not summed with it"),
    "cross_attention_norm": (None, "the context is normed before it is read"),
}


class UNet2DCondition(Importer, of="UNet2DConditionModel"):
    """Transformers that read a context; a timestep, classes, pooled text and sizes."""

    defaults = MappingProxyType(
        {
            "sample_size": None, "in_channels": 4, "out_channels": 4, "flip_sin_to_cos": True, "freq_shift": 0,
            "down_block_types": [*["CrossAttnDownBlock2D"] * 3, "DownBlock2D"],
            "mid_block_type": "UNetMidBlock2DCrossAttn",
            "up_block_types": ["UpBlock2D", *["CrossAttnUpBlock2D"] * 3],
            "block_out_channels": [320, 640, 1280, 1280], "layers_per_block": 2, "downsample_padding": 1,
            "dropout": 0.0, "act_fn": "silu", "norm_num_groups": 32, "norm_eps": 1e-5, "cross_attention_dim": 1280,
            "transformer_layers_per_block": 1, "reverse_transformer_layers_per_block": None, "attention_head_dim": 8,
            "use_linear_projection": False, "class_embed_type": None, "addition_embed_type": None,
            "addition_time_embed_dim": None, "num_class_embeds": None, "upcast_attention": False,
            "resnet_time_scale_shift": "default", "time_embedding_type": "positional", "time_embedding_dim": None,
            "conv_in_kernel": 3, "conv_out_kernel": 3, "projection_class_embeddings_input_dim": None,
            "addition_embed_type_num_heads": 64, "only_cross_attention": False, "mid_block_only_cross_attention": None,
        }
        | {key: value for key, (value, _) in _ONLY.items()}
    )  # fmt: skip

    @classmethod
    def to_spec(cls, config: Config, options: Options) -> Draft:
        widths = settings.widths(config)
        down, halving = settings.side(config, "down_block_types", _DOWN, "conv")
        up, doubling = settings.side(config, "up_block_types", _UP, "conv")
        if down != up[::-1]:
            config.contradict("up_block_types", "attention stands at other levels than in `down_block_types`")
        levels = _levels(config, widths, down)
        blocks = _MIDDLES[config.among("mid_block_type", *_MIDDLES, why="no such middle here")]
        mid = _middle(config, widths[-1], blocks) if blocks else None
        time, act = settings.time(config, widths[0]), settings.activation(config)
        reads = any(site.depth for site in (*levels, *([mid] if mid else [])))
        embeddings, assumed = _vectors(config, time)
        net = Net(
            channels=config.number("in_channels"),
            out_channels=config.number("out_channels"),
            size=settings.size(config),
            levels=levels,
            mid=mid,
            time=time | {"act": act},
            embeddings=embeddings,
            context=_context(config, down) if reads else None,
            groups=config.number("norm_num_groups"),
            eps=config["norm_eps"],
            act=act,
            head_act=act,
            modulation=settings.modulation(config),
            dropout=config["dropout"],
            stem_kernel=config.number("conv_in_kernel"),
            head_kernel=config.number("conv_out_kernel"),
            downsample=settings.downsample(config, halving),
            upsample="resnet" if doubling == "resnet" else "nearest",
            assumed=assumed,
        )
        config.ignore(*_SILENT)
        config.without(_ONLY)
        config.finish()
        return net.draft(options)

    @classmethod
    def fits(cls, spec: Spec) -> bool:
        return isinstance(spec.family, UNet)

    @classmethod
    def to_config(cls, plan: Plan) -> dict[str, Any]:
        unet = plan.spec.family
        assert isinstance(unet, UNet)  # `fits` asked
        widths, kinds = settings.level_widths(unet), [_kind(level) for level in unet.levels]
        ups = [level.decoder or level for level in unet.levels]
        blocks = settings.level_blocks(unet)
        depths = [_stacks(row, count) for row, count in zip(unet.levels, blocks, strict=True)]
        backs = [_stacks(row, count + 1) for row, count in zip(ups, blocks, strict=True)]
        differ = backs != depths
        heads = [_head_number(level, width) for level, width in zip(unet.levels, widths, strict=True)]
        mid, deepest = unet.mid, kinds[-1] == "transformer"
        if mid is not None and mid.transformer and not deepest:  # the middle takes the deepest level's
            depths[-1], heads[-1] = _stacks(mid, 1), mid.transformer.count(widths[-1])
        known = next((number for number in heads if number), 8)
        rows = [row.transformer for row in (*unet.levels, mid) if row is not None and row.transformer]
        contexts = [plan.inputs[each.context].channels for each in rows if each.context]
        resnets = {"ResnetDown": unet.downsample.name == "resnet", "ResnetUp": unet.upsample.name == "resnet"}
        names = [dict(_DOWN_TYPES), dict(_UP_TYPES)]
        for table, (word, inside) in zip(names, resnets.items(), strict=True):
            table[""] = f"{word}sampleBlock2D" if inside else table[""]
        return (
            settings.common(plan)
            | {
                "down_block_types": [names[0][kind] for kind in kinds],
                "mid_block_type": _middle_type(mid),
                "up_block_types": [names[1][_kind(row)] for row in reversed(ups)],
                "layers_per_block": settings.one(blocks),
                "cross_attention_dim": contexts[0] if contexts else 1280,
                "transformer_layers_per_block": settings.one(depths),
                "reverse_transformer_layers_per_block": backs[::-1] if differ else None,
                "attention_head_dim": settings.one([number or known for number in heads]),
                "only_cross_attention": settings.one([_crossed(level) for level in unet.levels]),
                "conv_in_kernel": getattr(unet.stem, "kernel", 3),
                "conv_out_kernel": unet.head.kernel,
            }
            | _vector_settings(plan)
        )


def _levels(config: Config, widths: Sequence[int], kinds: Sequence[str]) -> list[Site]:
    count = len(widths)
    blocks = config.each("layers_per_block", count)
    depths = _depths(config, blocks)
    numbers, crossed = config.each("attention_head_dim", count), config.each("only_cross_attention", count)
    found = []
    for width, kind, n, depth, number, across in zip(widths, kinds, blocks, depths, numbers, crossed, strict=True):
        heads = number or 1
        if kind and width % heads:
            config.contradict("attention_head_dim", f"{width} channels do not split by {heads}")
            heads = 1
        if kind == "attention":  # here, and here alone, the number is what its name says: the width of a head
            heads = width // heads if number else 1
        down, up = depth if kind == "transformer" else (0, 0)
        back = None if up == down else up
        found.append(Site(width, n, kind == "attention", down, back, heads, bool(across)))
    return found


def _depths(config: Config, blocks: Sequence[int]) -> list[tuple[Depth, Depth]]:
    """Transformer blocks after each block of each level, on the way down and on the way up."""
    key, back, count = "transformer_layers_per_block", "reverse_transformer_layers_per_block", len(blocks)
    down = [_depth(config, key, value, n) for value, n in zip(config.each(key, count), blocks, strict=True)]
    if config[back] is not None:
        given = config.each(back, count)[::-1]  # in the order in which the decoder runs
        up = [_depth(config, back, value, n + 1) for value, n in zip(given, blocks, strict=True)]
    else:
        up = down
        if any(isinstance(depth, list) for depth in down):
            config.contradict(key, f"the way up needs numbers of its own, in `{back}`: its levels have a block more")
    return list(zip(down, up, strict=True))


def _depth(config: Config, key: str, value: Any, blocks: int) -> Depth:
    """One number for all blocks of a level where it is the same, else one for each."""
    if not isinstance(value, list):
        return int(value)
    if len(value) != blocks:
        config.contradict(key, f"{len(value)} numbers for a level of {blocks} blocks")
    return list(value) if len(set(value)) > 1 else int(value[0])


def _middle(config: Config, width: int, blocks: int) -> Site:
    """Its transformer is as deep as the deepest level's, whether that level has any or not."""
    if blocks == 1:
        return Site(width, 1)
    count = len(config["block_out_channels"])
    depth = config.each("transformer_layers_per_block", count)[-1]
    heads = config.each("attention_head_dim", count)[-1] or 1
    return Site(width, blocks, depth=depth[0] if isinstance(depth, list) else depth, heads=heads)


def _context(config: Config, kinds: Sequence[str]) -> int:
    widths = {width for width, kind in zip(config.each("cross_attention_dim", len(kinds)), kinds, strict=True) if kind}
    if len(widths) != 1:
        config.refuse("cross_attention_dim", "levels that read contexts of different width")
    return int(min(widths, default=1))


def _vectors(config: Config, time: Mapping[str, Any]) -> tuple[dict[str, Embedding], list[str]]:
    """What besides the timestep makes up the vector, and what had to be assumed about it."""
    width, kind = config["projection_class_embeddings_input_dim"], config["class_embed_type"]
    found: dict[str, Embedding] = {}
    if kind == "projection":
        config.number("projection_class_embeddings_input_dim")
        found["image"] = Embedding(
            "mlp", {"image": ["batch", width]}, {"image": "a vector, such as an image's embedding"}
        )
        config.ignore("num_class_embeds")
    else:
        found = settings.classes(config, time)
    if (added := config["addition_embed_type"]) is None:
        config.ignore("addition_time_embed_dim")
        return found, []
    if added != "text_time":
        config.refuse("addition_embed_type", "no such embedding here")
        return found, []
    waves, total = config.number("addition_time_embed_dim"), config.number("projection_class_embeddings_input_dim")
    fits = [n for n in (6, 5) if total - n * waves == _POOLED] or [n for n in (6,) if total > n * waves]
    if not fits or time["order"] != "cos_sin" or time["freq_shift"]:
        config.refuse(
            "addition_embed_type", f"{total} numbers are no pooled text and sizes of {waves} cosines and sines"
        )
        return found, []
    pooled = total - fits[0] * waves
    rule = {"embed": "mlp", "of": ["pooled", {"input": "sizes", "sinusoids": waves}]}
    comments = {"pooled": "pooled text", "sizes": "original size, crop, target size or score"}
    found["added"] = Embedding(rule, {"pooled": ["batch", pooled], "sizes": ["batch", fits[0]]}, comments)
    return found, [f"{total} added numbers are {pooled} of pooled text and {fits[0]} sizes of {waves} each"]


def _stacks(row: Any, count: int) -> Depth:
    """The depths of a row's transformers: one number where it is the same after each block; 1 where there are none."""
    depths = row.transformer.stacks(count) if row.transformer else (1,)
    return depths[0] if len(set(depths)) == 1 else list(depths)


def _kind(level: Any) -> str:
    if level.transformer and any(level.transformer.stacks(1)):
        return "transformer"
    return "attention" if level.attention else ""


def _crossed(level: Any) -> bool:
    return bool(level.transformer and level.transformer.attends == ("context", "context"))


def _head_number(level: Any, width: int) -> int | None:
    """What `attention_head_dim` says of a level: the number of heads, for self-attention alone their width."""
    rule: Heads | None = level.transformer or level.attention
    if rule is None:
        return None
    return rule.count(width) if level.transformer else width // rule.count(width)


def _middle_type(mid: Any) -> str | None:
    if mid is None:
        return None
    return "UNetMidBlock2DCrossAttn" if mid.transformer else "UNetMidBlock2D"


def _vector_settings(plan: Plan) -> dict[str, Any]:
    """Settings for a vector that an MLP embeds: sizes and pooled text, or an image's embedding."""
    for name, rule in plan.spec.conditioning.items():
        if isinstance(rule, Mlp):
            parts = [plan.inputs[each] for each in rule.sources(name)]
            waves = [part.sinusoids or 1 for part in rule.of] or [1]
            width = sum(part.channels * times for part, times in zip(parts, waves, strict=True))
            if max(waves) == 1:
                return {"class_embed_type": "projection", "projection_class_embeddings_input_dim": width}
            return {
                "addition_embed_type": "text_time",
                "addition_time_embed_dim": max(waves),
                "projection_class_embeddings_input_dim": width,
            }
    return {}
