"""Settings that are published, and the parameter counts of the networks they belong to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from twins import TOLERANCE, Golden, difference

from netspec import api, graph, planner
from netspec.importers import Options
from netspec.importers.drafts import lowered
from netspec.importers.matching import match
from netspec.importers.reading import import_file, read
from netspec.plan import Plan
from netspec.weights.load import load_weights

CROSS = ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"], ["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3
SD1: dict[str, Any] = {
    "_class_name": "UNet2DConditionModel", "_diffusers_version": "0.6.0", "act_fn": "silu", "attention_head_dim": 8,
    "block_out_channels": [320, 640, 1280, 1280], "center_input_sample": False, "cross_attention_dim": 768,
    "down_block_types": CROSS[0], "downsample_padding": 1, "flip_sin_to_cos": True, "freq_shift": 0, "in_channels": 4,
    "layers_per_block": 2, "mid_block_scale_factor": 1, "norm_eps": 1e-05, "norm_num_groups": 32, "out_channels": 4,
    "sample_size": 64, "up_block_types": CROSS[1],
}  # fmt: skip
SD2 = {
    **SD1, "attention_head_dim": [5, 10, 20, 20], "cross_attention_dim": 1024, "dual_cross_attention": False,
    "only_cross_attention": False, "sample_size": 96, "upcast_attention": True, "use_linear_projection": True,
    "_name_or_path": "hf-models/stable-diffusion-v2-768x768/unet", "num_class_embeds": None,
}  # fmt: skip
SDXL = {
    **SD2, "attention_head_dim": [5, 10, 20], "block_out_channels": [320, 640, 1280], "sample_size": 128,
    "down_block_types": ["DownBlock2D", *["CrossAttnDownBlock2D"] * 2], "upcast_attention": None,
    "up_block_types": [*["CrossAttnUpBlock2D"] * 2, "UpBlock2D"], "transformer_layers_per_block": [1, 2, 10],
    "addition_embed_type": "text_time", "addition_embed_type_num_heads": 64, "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816, "cross_attention_dim": 2048, "class_embeddings_concat": False,
    "attention_type": "default", "mid_block_type": "UNetMidBlock2DCrossAttn", "resnet_out_scale_factor": 1.0,
    "resnet_skip_time_act": False, "time_embedding_type": "positional", "conv_in_kernel": 3, "conv_out_kernel": 3,
    "reverse_transformer_layers_per_block": None, "encoder_hid_dim": None, "dropout": 0.0,
}  # fmt: skip
REFINER = {
    **SDXL, "attention_head_dim": [6, 12, 24, 24], "block_out_channels": [384, 768, 1536, 1536],
    "down_block_types": ["DownBlock2D", *["CrossAttnDownBlock2D"] * 2, "DownBlock2D"],
    "up_block_types": ["UpBlock2D", *["CrossAttnUpBlock2D"] * 2, "UpBlock2D"], "transformer_layers_per_block": 4,
    "projection_class_embeddings_input_dim": 2560, "cross_attention_dim": 1280,
}  # fmt: skip
UPSCALER = {
    **SD2, "attention_head_dim": 8, "block_out_channels": [256, 512, 512, 1024], "in_channels": 7,
    "down_block_types": CROSS[0][::-1], "up_block_types": CROSS[1][::-1], "num_class_embeds": 1000, "sample_size": 128,
    "only_cross_attention": [True, True, True, False],
}  # fmt: skip
TINY = {
    **SD1, "layers_per_block": 1, "mid_block_type": None, "block_out_channels": [320, 640, 1280],
    "down_block_types": ["CrossAttnDownBlock2D"] * 3, "up_block_types": ["CrossAttnUpBlock2D"] * 3,
}  # fmt: skip
SSD = {
    **SDXL, "mid_block_type": "UNetMidBlock2D", "transformer_layers_per_block": [[0, 0], [2, 2], [4, 4]],
    "reverse_transformer_layers_per_block": [[4, 4, 10], [2, 1, 1], [0, 0, 0]],
}  # fmt: skip
KOALA = {
    **SDXL, "layers_per_block": 1, "mid_block_type": None, "transformer_layers_per_block": [0, 2, 5],
}  # fmt: skip
DDPM = {
    "_class_name": "UNet2DModel", "_diffusers_version": "0.1.1", "act_fn": "silu", "attention_head_dim": None,
    "block_out_channels": [128, 256, 256, 256], "center_input_sample": False, "downsample_padding": 0,
    "down_block_types": ["DownBlock2D", "AttnDownBlock2D", "DownBlock2D", "DownBlock2D"], "flip_sin_to_cos": False,
    "freq_shift": 1, "in_channels": 3, "layers_per_block": 2, "mid_block_scale_factor": 1, "norm_eps": 1e-06,
    "norm_num_groups": 32, "out_channels": 3, "sample_size": 32, "time_embedding_type": "positional",
    "up_block_types": ["UpBlock2D", "UpBlock2D", "AttnUpBlock2D", "UpBlock2D"],
}  # fmt: skip
DDPM_256 = {
    **DDPM, "block_out_channels": [128, 128, 256, 256, 512, 512], "sample_size": 256,
    "down_block_types": [*["DownBlock2D"] * 4, "AttnDownBlock2D", "DownBlock2D"],
    "up_block_types": ["UpBlock2D", "AttnUpBlock2D", *["UpBlock2D"] * 4],
}  # fmt: skip
ADM_64 = {
    "_class_name": "UNet2DModel", "sample_size": 64, "in_channels": 3, "out_channels": 6, "layers_per_block": 3,
    "num_class_embeds": 1000, "block_out_channels": [192, 384, 576, 768], "attention_head_dim": 64,
    "down_block_types": ["ResnetDownsampleBlock2D", *["AttnDownBlock2D"] * 3], "resnet_time_scale_shift": "scale_shift",
    "up_block_types": [*["AttnUpBlock2D"] * 3, "ResnetUpsampleBlock2D"], "attn_norm_num_groups": 32,
    "upsample_type": "resnet", "downsample_type": "resnet",
}  # fmt: skip
KL: dict[str, Any] = {
    "_class_name": "AutoencoderKL", "_diffusers_version": "0.2.2", "act_fn": "silu", "in_channels": 3,
    "block_out_channels": [128, 256, 512, 512], "down_block_types": ["DownEncoderBlock2D"] * 4, "latent_channels": 4,
    "layers_per_block": 2, "norm_num_groups": 32, "out_channels": 3, "sample_size": 512, "scaling_factor": 0.18215,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
}  # fmt: skip
KL_16 = {
    **KL, "latent_channels": 16, "shift_factor": 0.0609, "scaling_factor": 1.5305, "latents_mean": None,
    "latents_std": None, "force_upcast": True, "use_quant_conv": False, "use_post_quant_conv": False,
}  # fmt: skip
DIT = {
    "_class_name": "DiTTransformer2DModel", "activation_fn": "gelu-approximate", "attention_bias": True,
    "attention_head_dim": 72, "cross_attention_dim": None, "dropout": 0.0, "in_channels": 4, "num_attention_heads": 16,
    "norm_elementwise_affine": False, "norm_num_groups": 32, "norm_type": "ada_norm_zero", "num_embeds_ada_norm": 1000,
    "num_layers": 28, "num_vector_embeds": None, "only_cross_attention": False, "out_channels": 8, "patch_size": 2,
    "sample_size": 32, "upcast_attention": False, "use_linear_projection": False,
}  # fmt: skip
PIXART = {
    **DIT, "_class_name": "PixArtTransformer2DModel", "caption_channels": 4096, "cross_attention_dim": 1152,
    "norm_eps": 1e-06, "norm_type": "ada_norm_single", "sample_size": 128, "interpolation_scale": 2,
}  # fmt: skip
SD3 = {
    "_class_name": "SD3Transformer2DModel", "attention_head_dim": 64, "caption_projection_dim": 1536, "in_channels": 16,
    "joint_attention_dim": 4096, "num_attention_heads": 24, "num_layers": 24, "out_channels": 16, "patch_size": 2,
    "pooled_projection_dim": 2048, "pos_embed_max_size": 192, "sample_size": 128,
}  # fmt: skip
MEDIUM = {"dual_attention_layers": list(range(13)), "pos_embed_max_size": 384, "qk_norm": "rms_norm"}
LARGE = {"num_attention_heads": 38, "num_layers": 38, "caption_projection_dim": 2432, "qk_norm": "rms_norm"}
FLUX = {
    "_class_name": "FluxTransformer2DModel", "attention_head_dim": 128, "guidance_embeds": True, "in_channels": 64,
    "joint_attention_dim": 4096, "num_attention_heads": 24, "num_layers": 19, "num_single_layers": 38, "patch_size": 1,
    "pooled_projection_dim": 768,
}  # fmt: skip

CONFIGS: dict[str, tuple[dict[str, Any], int, str]] = {  # settings, parameters, the shipped spec that it is
    "ddpm cifar10": (DDPM, 35_746_307, "unet/ddpm_cifar10"),
    "ddpm 256": (DDPM_256, 113_673_219, "unet/ddpm_256"),
    "adm 64": (ADM_64, 295_904_454, "unet/adm --variant cond-64"),
    "sd 1.5": (SD1, 859_520_964, "unet/sd15"),
    "sd 1.5 inpainting": ({**SD1, "in_channels": 9}, 859_535_364, "unet/sd15 --variant inpainting"),
    "sd 2.1": (SD2, 865_910_724, "unet/sd21"),
    "sd x4 upscaler": (UPSCALER, 473_398_020, "unet/sd_x4_upscaler"),
    "sdxl": (SDXL, 2_567_463_684, "unet/sdxl"),
    "sdxl refiner": (REFINER, 2_259_526_660, "unet/sdxl --variant refiner"),
    "bk-sdm base": ({**SD1, "layers_per_block": 1}, 579_384_964, ""),
    "bk-sdm small": ({**SD1, "layers_per_block": 1, "mid_block_type": None}, 482_346_884, ""),
    "bk-sdm tiny": (TINY, 323_384_964, ""),
    "ssd 1b": (SSD, 1_331_334_404, "unet/sdxl --variant ssd-1b"),
    "koala 700m": (KOALA, 782_822_724, ""),
    "vae": (KL, 83_653_863, "autoencoder/kl_f8"),
    "vae of 16 channels": (KL_16, 83_819_683, "autoencoder/kl_f8_16ch"),
    "dit xl/2": (DIT, 674_834_720, ""),  # diffusers' numbers are not quite those of its authors
    "pixart-alpha 1024": (PIXART, 611_349_152, "dit/pixart_xl_2 --variant alpha-1024-ms"),
    "pixart-sigma 1024": (
        {**PIXART, "use_additional_conditions": False}, 610_856_096, "dit/pixart_xl_2 --variant sigma-1024-ms",
    ),
    "sd 3": (SD3, 2_028_328_000, "dit/sd3_medium"),
    "sd 3.5 medium": ({**SD3, **MEDIUM}, 2_243_171_520, "dit/sd3_medium --variant 3.5-medium"),
    "sd 3.5 large": ({**SD3, **LARGE}, 8_056_627_520, "dit/sd3_medium --variant 3.5-large"),
    "flux dev": (FLUX, 11_901_408_320, "dit/flux_dev"),
    "flux schnell": ({**FLUX, "guidance_embeds": False}, 11_891_178_560, "dit/flux_dev --variant schnell"),
    "flux fill": ({**FLUX, "in_channels": 384, "out_channels": 64}, 11_902_391_360, "dit/flux_dev --variant fill"),
    "flux canny": ({**FLUX, "in_channels": 128, "out_channels": 64}, 11_901_604_928, "dit/flux_dev --variant canny"),
}  # fmt: skip


def plan_of(path: Path, **options: Any) -> Plan:
    draft, origin = read(path, Options(**options))
    return lowered(draft, origin)


@pytest.mark.parametrize("name", CONFIGS)
def test_config(name: str, tmp_path: Path) -> None:
    config, params, spec = CONFIGS[name]
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config, indent=2))
    plan = plan_of(path)
    assert plan.cost.params == params
    assert match(plan) == spec


# CompVis and Stability AI


def tree(key: str, target: str, params: dict[str, Any], **around: Any) -> dict[str, Any]:
    return {"model": {"target": "x.Y", "params": {**around, key: {"target": target, "params": params}}}}


def ldm(**params: Any) -> dict[str, Any]:
    base = {"in_channels": 4, "out_channels": 4, "num_res_blocks": 2, "use_checkpoint": True}
    return tree("unet_config", "ldm.modules.diffusionmodules.openaimodel.UNetModel", base | params, image_size=64)


def sgm(**params: Any) -> dict[str, Any]:
    base = {
        "in_channels": 4, "out_channels": 4, "num_res_blocks": 2, "num_classes": "sequential", "num_head_channels": 64,
        "use_linear_in_transformer": True, "attention_resolutions": [4, 2], "use_checkpoint": True,
    }  # fmt: skip
    return tree("network_config", "sgm.modules.diffusionmodules.openaimodel.UNetModel", base | params)


def kl(z: int, factors: list[int], attention: list[int]) -> dict[str, Any]:
    inner = {"double_z": True, "z_channels": z, "resolution": 256, "in_channels": 3, "out_ch": 3, "ch": 128,
             "ch_mult": factors, "num_res_blocks": 2, "attn_resolutions": attention, "dropout": 0.0}  # fmt: skip
    loss = {"target": "torch.nn.Identity"}
    params = {"embed_dim": z, "monitor": "val/rec_loss", "ddconfig": inner, "lossconfig": loss}
    return tree("first_stage_config", "ldm.models.autoencoder.AutoencoderKL", params)


def vq(**change: Any) -> dict[str, Any]:
    found = kl(3, [1, 2, 4], [])
    model = found["model"]["params"]["first_stage_config"]
    model |= {"target": "ldm.models.autoencoder.VQModelInterface"}
    model["params"] |= {"n_embed": 8192}
    model["params"]["ddconfig"] |= {"double_z": False} | change
    return found


FOUR = {"model_channels": 320, "channel_mult": [1, 2, 4, 4], "attention_resolutions": [4, 2, 1]}
TEXT = {**FOUR, "num_heads": 8, "use_spatial_transformer": True, "transformer_depth": 1}
PLAIN = {"in_channels": 3, "out_channels": 3, "channel_mult": [1, 2, 3, 4], "attention_resolutions": [8, 4, 2]}

TREES: dict[str, tuple[dict[str, Any], int, str]] = {
    "v1-inference": (ldm(**TEXT, context_dim=768, legacy=False), 859_520_964, "unet/sd15"),
    "v2-inference": (
        ldm(**{**TEXT, "num_heads": -1}, num_head_channels=64, use_linear_in_transformer=True, context_dim=1024),
        865_910_724, "unet/sd21",
    ),
    "txt2img-1p4B": (ldm(**TEXT, context_dim=1280), 872_300_484, "unet/ldm_txt2img"),
    "cin256-v2": (
        ldm(in_channels=3, out_channels=3, model_channels=192, attention_resolutions=[8, 4, 2], context_dim=512,
            channel_mult=[1, 2, 3, 5], num_heads=1, use_spatial_transformer=True), 400_920_579, "unet/ldm_cin256",
    ),
    "celebahq": (ldm(**PLAIN, model_channels=224, num_head_channels=32), 274_056_163, "unet/ldm"),
    "churches": (
        ldm(model_channels=192, attention_resolutions=[1, 2, 4, 8], channel_mult=[1, 2, 2, 4, 4], num_heads=8,
            use_scale_shift_norm=True, resblock_updown=True), 294_966_916, "unet/ldm --variant churches",
    ),
    "inpainting_big": (
        ldm(**{**PLAIN, "in_channels": 7}, model_channels=256, num_heads=8, resblock_updown=True), 387_245_827,
        "unet/ldm --variant inpainting",
    ),
    "x4-upscaling": (
        ldm(in_channels=7, model_channels=256, channel_mult=[1, 2, 2, 4], attention_resolutions=[2, 4, 8], num_heads=8,
            use_spatial_transformer=True, disable_self_attentions=[True, True, True, False], num_classes=1000,
            context_dim=1024, use_linear_in_transformer=True), 473_398_020, "unet/sd_x4_upscaler",
    ),
    "sd_xl_base": (
        sgm(model_channels=320, channel_mult=[1, 2, 4], transformer_depth=[1, 2, 10], context_dim=2048,
            adm_in_channels=2816, spatial_transformer_attn_type="softmax-xformers"), 2_567_463_684, "",
    ),
    "sd_xl_refiner": (
        sgm(model_channels=384, channel_mult=[1, 2, 4, 4], transformer_depth=4, context_dim=[1280] * 4,
            adm_in_channels=2560), 2_259_526_660, "",
    ),
    "kl-f4": (kl(3, [1, 2, 4], []), 55_312_063, "autoencoder/kl_f4"),
    "vq-f4": (vq(), 55_298_206, "autoencoder/kl_f4 --variant vq"),
    "vq-f4, no attention": (vq(attn_type="none"), 53_194_910, "autoencoder/kl_f4 --variant vq-noattn"),
    "vq-f4, no convolutions between levels": (vq(resamp_with_conv=False), 51_610_654, ""),
    "kl-f8": (kl(4, [1, 2, 4, 4], []), 83_653_863, "autoencoder/kl_f8"),
    "kl-f16": (kl(16, [1, 1, 2, 2, 4], [16]), 69_610_963, "autoencoder/kl_f16"),
    "kl-f32": (kl(64, [1, 1, 2, 2, 4, 4], [16, 8]), 103_880_131, "autoencoder/kl_f32"),
}  # fmt: skip


@pytest.mark.parametrize("name", TREES)
def test_tree(name: str, tmp_path: Path) -> None:
    """The vector of XL is one input there: what makes it up stands elsewhere in the file."""
    content, params, spec = TREES[name]
    path = tmp_path / f"{name}.yaml"
    path.write_text(yaml.safe_dump(content).replace(": true", ": True").replace(": false", ": False"))
    plan = plan_of(path)
    assert plan.cost.params == params
    assert match(plan) == spec


GOLDENS = {  # name: the reference's names of our inputs
    "sd15_unet": ("x", "timesteps", "context"),
    "ldm_cin256_crossattn": ("x", "timesteps", "context"),
    "sdxl_unet": ("x", "timesteps", "context", "y"),
}


@pytest.mark.parametrize("name", GOLDENS)
def test_golden(name: str, tmp_path: Path) -> None:
    """The original code with the constructor's arguments of a golden, which stand in its YAML files."""
    golden = Golden(name)
    settings = json.loads((golden.folder / "config.json").read_text())["constructor"]
    path = tmp_path / "model.yaml"
    path.write_text(yaml.safe_dump({"target": "ldm.modules.openaimodel.UNetModel", "params": settings}))
    inputs = golden.inputs(GOLDENS[name])
    model = graph.build(import_file(path, Options(tokens=inputs[2].shape[1])).plan, dtype=torch.float64).eval()
    load_weights(model, golden.weights(), "ldm")
    with torch.no_grad():
        assert difference(model(*inputs), golden.output) <= TOLERANCE


# The text


def test_the_text_is_what_a_person_would_write(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(SDXL))
    found = import_file(tmp_path, Options(name="mine"))
    assert (
        found.text
        == """\
# Imported from config.json (diffusers, UNet2DConditionModel); 2,567,463,684 parameters.
# Assumed: 2816 added numbers are 1280 of pooled text and 6 sizes of 256 each.
netspec: 1
name: mine

inputs:
  x:      [batch, 4, height, width]    # noisy image or latent
  t:      [batch]                      # timestep
  text:   [batch, 77, 2048]            # hidden states of the text encoder
  pooled: [batch, 1280]                # pooled text
  sizes:  [batch, 6]                   # original size, crop, target size or score
output: [batch, 4, height, width]      # prediction

dims:
  batch:  {min: 1, opt: 2, max: 8}
  height: {min: 64, opt: 128, max: 256}
  width:  {min: 64, opt: 128, max: 256}

conditioning:
  t:     {embed: sinusoidal, dim: 320}
  added: {embed: mlp, of: [pooled, {input: sizes, sinusoids: 256}]}

unet:
  levels:
    - {channels: 320}
    - {channels: 640, transformer: 2}
    - {channels: 1280, transformer: 10}
  transformer: {head_dim: 64, context: text}
  mid: {transformer: 10}

expect: {params: 2567463684}
"""
    )


@pytest.mark.parametrize("name", ["ddpm cifar10", "adm 64", "vae", "dit xl/2", "pixart-alpha 1024", "sd 3.5 medium"])
def test_no_word_of_the_text_could_go(name: str, tmp_path: Path) -> None:
    """Of settings: the rest is there for people."""
    (tmp_path / "config.json").write_text(json.dumps(CONFIGS[name][0]))
    found = import_file(tmp_path)
    lines = found.text.splitlines()
    family = lines.index(f"{found.plan.spec.family.name}:")
    for number in range(family + 1, lines.index("", family)):
        if lines[number].lstrip().startswith("-"):
            continue
        shorter = "\n".join(lines[:number] + lines[number + 1 :])
        try:
            assert planner.lower(api.loads(shorter)).text() != found.plan.text(), lines[number]
        except api.SpecError:
            continue  # a key that has to be there
