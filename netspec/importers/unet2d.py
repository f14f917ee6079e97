"""UNet2DModel of diffusers: DDPM, and ADM at 64x64."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

from netspec.embeds.mlp import Mlp
from netspec.families.unet import UNet
from netspec.importers import Draft, Importer, Options
from netspec.importers import common as settings
from netspec.importers.foreign import Config
from netspec.importers.unets import Net, Site
from netspec.plan import Plan
from netspec.spec import Spec

_DOWN = {  # block type: (what stands after its blocks, how it halves; "" as `downsample_type` says)
    "DownBlock2D": ("", "conv"),
    "AttnDownBlock2D": ("attention", ""),
    "ResnetDownsampleBlock2D": ("", "resnet"),
}
_UP = {"UpBlock2D": ("", "conv"), "AttnUpBlock2D": ("attention", ""), "ResnetUpsampleBlock2D": ("", "resnet")}


class UNet2D(Importer, of="UNet2DModel"):
    """Blocks and self-attention; a timestep and maybe a class."""

    defaults = MappingProxyType(
        {
            "sample_size": None, "in_channels": 3, "out_channels": 3, "center_input_sample": False,
            "time_embedding_type": "positional", "time_embedding_dim": None, "freq_shift": 0, "flip_sin_to_cos": True,
            "down_block_types": ["DownBlock2D", *["AttnDownBlock2D"] * 3],
            "up_block_types": [*["AttnUpBlock2D"] * 3, "UpBlock2D"],
            "mid_block_type": "UNetMidBlock2D", "block_out_channels": [224, 448, 672, 896], "layers_per_block": 2,
            "mid_block_scale_factor": 1, "downsample_padding": 1, "downsample_type": "conv", "upsample_type": "conv",
            "dropout": 0.0, "act_fn": "silu", "attention_head_dim": 8, "norm_num_groups": 32,
            "attn_norm_num_groups": None, "norm_eps": 1e-5, "resnet_time_scale_shift": "default", "add_attention": True,
            "class_embed_type": None, "num_class_embeds": None, "num_train_timesteps": None,
        }
    )  # fmt: skip

    @classmethod
    def to_spec(cls, config: Config, options: Options) -> Draft:
        widths, head_dim = settings.widths(config), config["attention_head_dim"]
        ways = {key: config.among(key, "conv", "resnet", why="by a convolution, or by a residual block")
                for key in ("downsample_type", "upsample_type")}  # fmt: skip
        down, halving = settings.side(config, "down_block_types", _DOWN, ways["downsample_type"])
        up, doubling = settings.side(config, "up_block_types", _UP, ways["upsample_type"])
        if down != up[::-1]:
            config.contradict("up_block_types", "attention stands at other levels than in `down_block_types`")
        if head_dim and any(width % head_dim for width in widths):
            config.refuse("attention_head_dim", "heads that do not fill their level's width")
            head_dim = None
        levels = [
            Site(width, config.number("layers_per_block"), bool(here), heads=width // (head_dim or width))
            for width, here in zip(widths, down, strict=True)
        ]
        mid = Site(widths[-1], 2, bool(config["add_attention"]), heads=levels[-1].heads)
        time = settings.time(config, widths[0])
        net = Net(
            channels=config.number("in_channels"),
            out_channels=config.number("out_channels"),
            size=settings.size(config),
            levels=levels,
            mid=mid if config.among("mid_block_type", "UNetMidBlock2D", None, why="no such middle here") else None,
            time=time,
            embeddings=settings.classes(config, time),
            groups=config.number("norm_num_groups"),
            eps=config["norm_eps"],
            mid_norm=_mid_norm(config),
            act=settings.activation(config),
            modulation=settings.modulation(config),
            dropout=config["dropout"],
            downsample=settings.downsample(config, halving),
            upsample="resnet" if doubling == "resnet" else "nearest",
            by_width=bool(head_dim),
        )
        config.ignore("num_train_timesteps")
        config.without(
            {
                "center_input_sample": (False, "the image is brought from [0, 1] to [-1, 1] first"),
                "mid_block_scale_factor": (1, "the outputs of the middle's parts are divided by it"),
            }
        )
        config.finish()
        return net.draft(options)

    @classmethod
    def fits(cls, spec: Spec) -> bool:
        unet = spec.family
        if not isinstance(unet, UNet) or any(isinstance(rule, Mlp) for rule in spec.conditioning.values()):
            return False
        return not any(row is not None and row.transformer for row in (*unet.levels, unet.mid))

    @classmethod
    def to_config(cls, plan: Plan) -> dict[str, Any]:
        unet = plan.spec.family
        assert isinstance(unet, UNet)  # `fits` asked
        halving, doubling = (getattr(rule, "name", "") == "resnet" for rule in (unet.downsample, unet.upsample))
        widths, attended = settings.level_widths(unet), [level.attention is not None for level in unet.levels]
        middle = unet.mid.attention if unet.mid else None
        rows = [(level.attention, width) for level, width in zip(unet.levels, widths, strict=True)]
        heads = [(rule.count(width), width) for rule, width in (*rows, (middle, widths[-1])) if rule is not None]
        plain = (
            "ResnetDownsampleBlock2D" if halving else "DownBlock2D",
            "ResnetUpsampleBlock2D" if doubling else "UpBlock2D",
        )
        return settings.common(plan) | {
            "down_block_types": ["AttnDownBlock2D" if here else plain[0] for here in attended],
            "up_block_types": ["AttnUpBlock2D" if here else plain[1] for here in reversed(attended)],
            "mid_block_type": "UNetMidBlock2D" if unet.mid else None,
            "layers_per_block": settings.level_blocks(unet)[0],
            "downsample_type": "resnet" if halving else "conv",
            "upsample_type": "resnet" if doubling else "conv",
            "attention_head_dim": None if all(count == 1 for count, _ in heads) else heads[0][1] // heads[0][0],
            "attn_norm_num_groups": getattr(getattr(middle, "norm", None), "groups", None),
            "add_attention": middle is not None,
        }


def _mid_norm(config: Config) -> Any:
    """The norm of the middle's attention, where it is not that of the others: with scale_shift it is asked for."""
    groups = config["attn_norm_num_groups"]
    if groups is None:
        return "none" if config["resnet_time_scale_shift"] == "scale_shift" else None
    return {"groups": config.number("attn_norm_num_groups"), "eps": config["norm_eps"]}
