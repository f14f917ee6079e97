"""Every published U-Net that ships, at full size on the meta device: its keys and shapes in other people's layouts are
those of their own classes, and reading what was written gives back ours."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from plain_unet import PlainUNet, Plan
from torch import Tensor

from netspec import api, graph, planner
from netspec.errors import WeightsError
from netspec.weights import layouts

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of other people's imports
    from diffusers import UNet2DConditionModel, UNet2DModel

SPECS = Path(__file__).parents[2] / "specs" / "unet"
Shapes = dict[str, tuple[int, ...]]

# In the words of the original code


def adm(width: int = 256, multipliers: tuple[float, ...] = (1, 1, 2, 2, 4, 4), attends: int = 3, **more: Any) -> Plan:
    """`attends`: how many of the deepest levels have attention."""
    levels = len(multipliers)
    usual: dict[str, Any] = {"classes": 1000, "head_dim": 64, "scale_shift": True, "resampling": "resnet"}
    return Plan(
        width=width, multipliers=multipliers, attends=tuple(range(levels - attends, levels)),
        blocks=(more.pop("blocks", 2),) * levels, **(usual | more),
    )  # fmt: skip


def improved(*args: Any, **more: Any) -> Plan:
    return replace(adm(*args, **more), head_dim=None, heads=4, resampling="conv")


def latent(
    width: int, multipliers: tuple[float, ...], attends: tuple[int, ...], given: int, made: int = 3, **more: Any
) -> Plan:
    """`given` and `made` channels."""
    blocks = (2,) * len(multipliers)
    return Plan(width=width, multipliers=multipliers, attends=attends, blocks=blocks, channels=(given, made), **more)


def text(given: int = 4, context: int = 768, **more: Any) -> Plan:
    return latent(320, (1, 2, 4, 4), (0, 1, 2), given, 4, context=context, depths=(1, 1, 1, 0, 1), **more)


FOUR = (1, 2, 3, 4)
SD2 = {"context": 1024, "linear": True}
XL = {"head_dim": 64, "linear": True}
ORIGINALS = {
    "adm": adm(classes=None),
    "adm@cond-256": adm(),
    "adm@cond-128": adm(256, (1, 1, 2, 3, 4), head_dim=None, heads=4),
    "adm@cond-64": adm(192, FOUR, blocks=3, parts_first=True),
    "adm@cond-512": adm(256, (0.5, 1, 1, 2, 2, 4, 4)),
    "adm@64-to-256": adm(192, channels=(6, 6), head_dim=None, heads=4),
    "adm@128-to-512": adm(192, attends=2, channels=(6, 6)),
    "improved_diffusion": replace(improved(128, (1, 2, 2, 2), blocks=3, classes=None), attends=(1, 2)),
    "improved_diffusion@imagenet64": improved(128, FOUR, 2, blocks=3, classes=None),
    "improved_diffusion@imagenet64-cond": improved(192, FOUR, 2, blocks=3),
    "improved_diffusion@lsun-256": replace(improved(128, classes=None, scale_shift=False), attends=(4,), heads=1),
    "improved_diffusion@64-to-256": improved(192, attends=2, channels=(6, 6)),
    "ldm": latent(224, FOUR, (1, 2, 3), 3, head_dim=32),
    "ldm@churches": latent(192, (1, 2, 2, 4, 4), (0, 1, 2, 3), 4, 4, heads=8, scale_shift=True, resampling="resnet"),
    "ldm@inpainting": latent(256, FOUR, (1, 2, 3), 7, heads=8, resampling="resnet"),
    "ldm@super-resolution": latent(160, (1, 2, 2, 4), (3,), 6, head_dim=32),
    "ldm_cin256": latent(192, (1, 2, 3, 5), (1, 2, 3), 3, depths=(0, 1, 1, 1, 1), context=512),
    "ldm_txt2img": text(context=1280),
    "sd15": text(),
    "sd15@inpainting": text(9),
    "sd21": text(**SD2),
    "sd21@inpainting": text(9, **SD2),
    "sd21@depth": text(5, **SD2),
    "sd21@unclip": text(vector=2048, **SD2),
    "sd_x4_upscaler": latent(
        256, (1, 2, 2, 4), (1, 2, 3), 7, 4, heads=8, context=1024, classes=1000, cross_only=(1, 2), linear=True,
        depths=(0, 1, 1, 1, 1),
    ),
    "sdxl": latent(320, (1, 2, 4), (1, 2), 4, 4, depths=(0, 2, 10, 10), context=2048, vector=2816, **XL),
    "sdxl@refiner": latent(384, (1, 2, 4, 4), (1, 2), 4, 4, depths=(0, 4, 4, 0, 4), context=1280, vector=2560, **XL),
}  # fmt: skip


# In the words of diffusers


def twin_of(cls: type[Any], widths: tuple[int, ...], attends: tuple[int, ...], **config: Any) -> tuple[type[Any], Any]:
    """The block types for attention at some levels; residual blocks resample where `downsample_type` says so."""
    cross = cls is UNet2DConditionModel
    plain = ("ResnetDownsampleBlock2D", "ResnetUpsampleBlock2D")
    if config.get("downsample_type", "conv") == "conv":
        plain = ("DownBlock2D", "UpBlock2D")
    rich = ("CrossAttnDownBlock2D", "CrossAttnUpBlock2D") if cross else ("AttnDownBlock2D", "AttnUpBlock2D")
    down = tuple(rich[0] if level in attends else plain[0] for level in range(len(widths)))
    up = tuple(rich[1] if level in attends else plain[1] for level in reversed(range(len(widths))))
    return cls, {
        "block_out_channels": widths,
        "down_block_types": down,
        "up_block_types": up,
        "layers_per_block": 2,
    } | config


INSIDE = {"downsample_type": "resnet", "upsample_type": "resnet", "resnet_time_scale_shift": "scale_shift"}
IMAGENET = {"num_class_embeds": 1000, "out_channels": 6, "attention_head_dim": 64, "attn_norm_num_groups": 32, **INSIDE}
CLIP = {"use_linear_projection": True}
ADDED = {"addition_embed_type": "text_time", "addition_time_embed_dim": 256, **CLIP}
SD_WIDTHS, ADM_WIDTHS = (320, 640, 1280, 1280), (256, 256, 512, 512, 1024, 1024)
TWINS = {  # name: (class, config), layout
    "ddpm_cifar10": (twin_of(UNet2DModel, (128, 256, 256, 256), (1,), attention_head_dim=None), ""),
    "ddpm_256": (twin_of(UNet2DModel, (128, 128, 256, 256, 512, 512), (4,), attention_head_dim=None), ""),
    "improved_diffusion@lsun-256": (
        twin_of(UNet2DModel, (128, 128, 256, 256, 512, 512), (4,), attention_head_dim=None, out_channels=6), "",
    ),
    "adm@cond-256": (twin_of(UNet2DModel, ADM_WIDTHS, (3, 4, 5), **IMAGENET), ""),
    "adm@cond-64": (twin_of(UNet2DModel, (192, 384, 576, 768), (1, 2, 3), **IMAGENET, layers_per_block=3), ""),
    "ldm": (twin_of(UNet2DModel, (224, 448, 672, 896), (1, 2, 3), attention_head_dim=32), ""),
    "ldm_cin256": (
        twin_of(UNet2DConditionModel, (192, 384, 576, 960), (1, 2, 3), in_channels=3, out_channels=3,
                attention_head_dim=1, cross_attention_dim=512), "",
    ),
    "ldm_txt2img": (twin_of(UNet2DConditionModel, SD_WIDTHS, (0, 1, 2), cross_attention_dim=1280), ""),
    "sd15": (twin_of(UNet2DConditionModel, SD_WIDTHS, (0, 1, 2), cross_attention_dim=768), ""),
    "sd15@inpainting": (
        twin_of(UNet2DConditionModel, SD_WIDTHS, (0, 1, 2), cross_attention_dim=768, in_channels=9), "",
    ),
    "sd21": (twin_of(UNet2DConditionModel, SD_WIDTHS, (0, 1, 2), cross_attention_dim=1024, **CLIP), "linear"),
    "sd21@unclip": (
        twin_of(UNet2DConditionModel, SD_WIDTHS, (0, 1, 2), cross_attention_dim=1024, class_embed_type="projection",
                projection_class_embeddings_input_dim=2048, **CLIP),
        "linear,vector=class_embedding",
    ),
    "sd_x4_upscaler": (
        twin_of(UNet2DConditionModel, (256, 512, 512, 1024), (1, 2, 3), cross_attention_dim=1024, in_channels=7,
                only_cross_attention=(True, True, True, False), attention_head_dim=8, num_class_embeds=1000, **CLIP),
        "linear",
    ),
    "sdxl": (
        twin_of(UNet2DConditionModel, (320, 640, 1280), (1, 2), cross_attention_dim=2048,
                transformer_layers_per_block=(1, 2, 10), attention_head_dim=(5, 10, 20),
                projection_class_embeddings_input_dim=2816, **ADDED),
        "linear",
    ),
    "sdxl@refiner": (
        twin_of(UNet2DConditionModel, (384, 768, 1536, 1536), (1, 2), cross_attention_dim=1280,
                transformer_layers_per_block=4, attention_head_dim=(6, 12, 24, 24),
                projection_class_embeddings_input_dim=2560, **ADDED),
        "linear",
    ),
}  # fmt: skip


# The comparisons


@cache
def planned(name: str) -> planner.Plan:
    file, _, variant = name.partition("@")
    return planner.lower(api.load(SPECS / f"{file}.yaml", variant=variant or None))


@cache
def ours(name: str) -> Mapping[str, Tensor]:
    return graph.build(planned(name), device="meta").state_dict()


def shapes(state: Mapping[str, Tensor]) -> Shapes:
    return {key: tuple(value.shape) for key, value in state.items()}


def written(name: str, layout: str) -> Shapes:
    """Ours in that layout, after checking that reading it back is the identity."""
    rules = layouts.find(layout)
    foreign = dict(rules.ours_to_foreign(planned(name), ours(name)))
    assert shapes(dict(rules.foreign_to_ours(planned(name), foreign))) == shapes(ours(name))
    return shapes(foreign)


@pytest.mark.parametrize("name", ORIGINALS)
def test_keys_of_the_original_code(name: str) -> None:
    with torch.device("meta"):
        theirs = shapes(PlainUNet(ORIGINALS[name]).state_dict())
    form = "linear" if ORIGINALS[name].linear else "conv"
    assert written(name, f"ldm:projections={form}") == theirs
    if name.startswith(("adm", "improved", "ldm@")):
        assert written(name, "adm") == theirs
        assert written(name, "adm:qkv=parts_first") == theirs


@pytest.mark.parametrize("name", TWINS)
def test_keys_of_diffusers(name: str) -> None:
    (cls, config), choices = TWINS[name]
    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = shapes(cls(**config).state_dict())
    assert written(name, f"diffusers:projections={choices}" if choices else "diffusers") == theirs


@pytest.mark.parametrize("name", ORIGINALS)
def test_diffusers_holds_every_one_even_where_it_has_no_class_for_it(name: str) -> None:
    assert len(written(name, "diffusers")) == len(ours(name))


def test_files_of_openai_hold_no_transformers() -> None:
    with pytest.raises(WeightsError, match="layout `adm` has no place for `down_0_transformer_0`"):
        layouts.find("adm").entries(planned("sd15"))
