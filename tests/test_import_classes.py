"""Networks of diffusers at a small width: their config becomes a spec, the spec becomes a config again, and all three
compute the same, in float64, with the same weights."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from twins import TOLERANCE, ExactPositions, ExactTimesteps, difference, images, randomise, timesteps

from netspec import api, graph, planner
from netspec.importers.comparing import differences
from netspec.importers.exporting import export
from netspec.importers.reading import import_file
from netspec.weights.layouts.diffusers import Diffusers
from netspec.weights.load import load_weights

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of other people's imports
    import diffusers

Inputs = tuple[list[Tensor], dict[str, Any]]  # ours by position, theirs by name


def unet(config: Mapping[str, Any]) -> Inputs:
    x, t = images(2, config["in_channels"], 16, 24), timesteps(2)
    ours, theirs = [x, t], {"sample": x, "timestep": t}
    if config.get("cross_attention_dim"):
        text = images(2, 77, config["cross_attention_dim"])
        ours, theirs = [*ours, text], theirs | {"encoder_hidden_states": text}
    if config.get("addition_embed_type"):
        sizes = config["addition_time_embed_dim"] * 6
        pooled, numbers = images(2, config["projection_class_embeddings_input_dim"] - sizes), images(2, 6).abs() * 100
        return [*ours, pooled, numbers], theirs | {"added_cond_kwargs": {"text_embeds": pooled, "time_ids": numbers}}
    if config.get("num_class_embeds"):
        return [*ours, y := torch.tensor([0, 9])], theirs | {"class_labels": y}
    if config.get("class_embed_type"):
        vector = images(2, config["projection_class_embeddings_input_dim"])
        return [*ours, vector], theirs | {"class_labels": vector}
    return ours, theirs


def dit(config: Mapping[str, Any]) -> Inputs:
    side = config["sample_size"]
    x, t, y = images(2, 4, side, side), timesteps(2), torch.tensor([0, 7])
    return [x, t, y], {"hidden_states": x, "timestep": t, "class_labels": y}


def pixart(config: Mapping[str, Any]) -> Inputs:
    x, t, text = images(2, 4, 16, 24), timesteps(2), images(2, 9, config["caption_channels"])
    mask, size, ratio = torch.ones(2, 9, dtype=torch.float64), images(2, 2).abs() * 100, images(2, 1).abs()
    told = [size, ratio] if config["use_additional_conditions"] else []
    added = {"resolution": size, "aspect_ratio": ratio} if told else {"resolution": None, "aspect_ratio": None}
    mask[1, 5:] = 0
    call = {"hidden_states": x, "timestep": t, "encoder_hidden_states": text, "encoder_attention_mask": mask}
    return [x, t, text, mask, *told], call | {"added_cond_kwargs": added}


def sd3(config: Mapping[str, Any]) -> Inputs:
    x, t, pooled, text = images(2, 4, 12, 16), timesteps(2), images(2, 20), images(2, 77, 24)
    call = {"hidden_states": x, "timestep": t, "pooled_projections": pooled, "encoder_hidden_states": text}
    return [x, t, pooled, text], call


def flux(config: Mapping[str, Any]) -> Inputs:
    img, txt, pooled, t = images(2, 256, 16), images(2, 64, 20), images(2, 12), torch.tensor([0.125, 0.875])
    ids = torch.stack([torch.zeros(256), torch.arange(256) // 16, torch.arange(256) % 16], dim=1).double()
    zeros, guidance = torch.zeros(64, 3, dtype=torch.float64), torch.tensor([3.5, 7.0])
    told = [guidance] if config["guidance_embeds"] else []
    call = {"hidden_states": img, "encoder_hidden_states": txt, "pooled_projections": pooled, "timestep": t.double(),
            "img_ids": ids, "txt_ids": zeros, "guidance": guidance.double() if told else None}  # fmt: skip
    return [img, ids.expand(2, -1, -1), txt, zeros.expand(2, -1, -1), t, pooled, *told], call


def autoencoder(config: Mapping[str, Any]) -> Inputs:
    factor = 2 ** (len(config["block_out_channels"]) - 1)
    image, latent = images(2, 3, 4 * factor, 6 * factor), images(2, config["latent_channels"], 4, 6)
    return [image, latent], {"image": image, "latent": latent}


CLASSES: dict[str, tuple[dict[str, Any], Callable[[Mapping[str, Any]], Inputs]]] = {
    "UNet2DModel": ({"norm_num_groups": 8, "sample_size": 16, "in_channels": 3, "out_channels": 3}, unet),
    "UNet2DConditionModel": (
        {"norm_num_groups": 8, "sample_size": 16, "in_channels": 4, "block_out_channels": [32, 64],
         "attention_head_dim": 4, "down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D"], "layers_per_block": 1,
         "cross_attention_dim": 24, "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D"]}, unet,
    ),
    "AutoencoderKL": ({"norm_num_groups": 8, "block_out_channels": [16, 32, 32], "sample_size": 32}, autoencoder),
    "DiTTransformer2DModel": (
        {"num_attention_heads": 4, "attention_head_dim": 8, "num_layers": 2, "sample_size": 16,
         "num_embeds_ada_norm": 7}, dit,
    ),
    "PixArtTransformer2DModel": (
        {"num_attention_heads": 4, "attention_head_dim": 12, "num_layers": 2, "cross_attention_dim": 48,
         "sample_size": 16, "caption_channels": 24, "use_additional_conditions": False}, pixart,
    ),
    "SD3Transformer2DModel": (
        {"sample_size": 8, "pos_embed_max_size": 12, "in_channels": 4, "out_channels": 4, "attention_head_dim": 8,
         "num_attention_heads": 4, "joint_attention_dim": 24, "caption_projection_dim": 32, "pooled_projection_dim": 20,
         "num_layers": 3}, sd3,
    ),
    "FluxTransformer2DModel": (
        {"in_channels": 16, "num_layers": 2, "num_single_layers": 2, "attention_head_dim": 16, "num_attention_heads": 2,
         "joint_attention_dim": 20, "pooled_projection_dim": 12, "axes_dims_rope": [4, 6, 6],
         "guidance_embeds": False}, flux,
    ),
}  # fmt: skip

PLAIN = {"block_out_channels": [32, 64, 64], "layers_per_block": 1}
AT = ["DownBlock2D", "AttnDownBlock2D", "DownBlock2D"], ["UpBlock2D", "AttnUpBlock2D", "UpBlock2D"]
ATTENDED = {**PLAIN, "down_block_types": AT[0], "up_block_types": AT[1]}
RESNETS = {
    **PLAIN, "down_block_types": ["ResnetDownsampleBlock2D", "AttnDownBlock2D", "AttnDownBlock2D"],
    "up_block_types": ["AttnUpBlock2D", "AttnUpBlock2D", "ResnetUpsampleBlock2D"], "downsample_type": "resnet",
    "upsample_type": "resnet", "resnet_time_scale_shift": "scale_shift", "attention_head_dim": 16,
}  # fmt: skip
THREE = {
    "block_out_channels": [32, 64, 64], "down_block_types": ["DownBlock2D", *["CrossAttnDownBlock2D"] * 2],
    "up_block_types": [*["CrossAttnUpBlock2D"] * 2, "UpBlock2D"], "attention_head_dim": [2, 4, 8],
}  # fmt: skip
SIZES = {"addition_embed_type": "text_time", "addition_time_embed_dim": 4, "projection_class_embeddings_input_dim": 44}

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "ddpm": (
        "UNet2DModel",
        {**ATTENDED, "attention_head_dim": None, "norm_eps": 1e-6, "downsample_padding": 0, "flip_sin_to_cos": False,
         "freq_shift": 1, "dropout": 0.1},
    ),
    "attention everywhere": ("UNet2DModel", {"block_out_channels": [32, 64, 64, 64], "layers_per_block": 1}),
    "no attention in the middle, relu": ("UNet2DModel", {**ATTENDED, "add_attention": False, "act_fn": "relu"}),
    "resampling in blocks, no norm in the middle": ("UNet2DModel", {**RESNETS, "num_class_embeds": 10}),
    "resampling in blocks, a norm in the middle": ("UNet2DModel", {**RESNETS, "attn_norm_num_groups": 16}),
    "latent diffusion": ("UNet2DConditionModel", {}),
    "heads by width, depths, sizes": (
        "UNet2DConditionModel",
        {**THREE, **SIZES, "transformer_layers_per_block": [1, 2, 1], "use_linear_projection": True},
    ),
    "depths of blocks, others on the way up": (
        "UNet2DConditionModel",
        {**THREE, "layers_per_block": 2, "mid_block_type": "UNetMidBlock2D",
         "transformer_layers_per_block": [[0, 0], [2, 2], [2, 1]],
         "reverse_transformer_layers_per_block": [[1, 1, 3], [2, 1, 1], [0, 0, 0]]},
    ),
    "other depths on the way up": (
        "UNet2DConditionModel", {**THREE, "transformer_layers_per_block": [1, 1, 2],
                                 "reverse_transformer_layers_per_block": [1, 2, 1]},
    ),
    "an image's vector, blocks by level": (
        "UNet2DConditionModel",
        {**THREE, "class_embed_type": "projection", "projection_class_embeddings_input_dim": 44,
         "layers_per_block": [1, 2, 1]},
    ),
    "classes, attention of both kinds": (
        "UNet2DConditionModel",
        {**THREE, "num_class_embeds": 10,
         "down_block_types": ["DownBlock2D", "AttnDownBlock2D", "CrossAttnDownBlock2D"],
         "up_block_types": ["CrossAttnUpBlock2D", "AttnUpBlock2D", "UpBlock2D"]},
    ),
    "no middle": ("UNet2DConditionModel", {"mid_block_type": None, "conv_in_kernel": 5, "conv_out_kernel": 1}),
    "one block in the middle, gelu": ("UNet2DConditionModel", {"mid_block_type": "UNetMidBlock2D", "act_fn": "gelu"}),
    "the context alone": ("UNet2DConditionModel", {**THREE, "only_cross_attention": [False, True, False]}),
    "autoencoder": (
        "AutoencoderKL", {"down_block_types": ["DownEncoderBlock2D"] * 3, "up_block_types": ["UpDecoderBlock2D"] * 3},
    ),
    "autoencoder with attention, without quant": (
        "AutoencoderKL",
        {"down_block_types": ["DownEncoderBlock2D"] * 2 + ["AttnDownEncoderBlock2D"], "latent_channels": 8,
         "up_block_types": ["AttnUpDecoderBlock2D"] + ["UpDecoderBlock2D"] * 2, "use_quant_conv": False,
         "use_post_quant_conv": False, "layers_per_block": 2},
    ),
    "autoencoder without attention": (
        "AutoencoderKL",
        {"down_block_types": ["DownEncoderBlock2D"] * 3, "up_block_types": ["UpDecoderBlock2D"] * 3,
         "mid_block_add_attention": False},
    ),
    "dit": ("DiTTransformer2DModel", {"out_channels": 8}),
    "dit, eps of its own code": (
        "DiTTransformer2DModel", {"norm_eps": 1e-6, "activation_fn": "gelu", "patch_size": 4},
    ),
    "caption": ("PixArtTransformer2DModel", {}),
    "caption and sizes, stretched positions": (
        "PixArtTransformer2DModel", {"use_additional_conditions": True, "interpolation_scale": 2},
    ),
    "two streams": ("SD3Transformer2DModel", {}),
    "two streams, norms, a second attention": (
        "SD3Transformer2DModel", {"qk_norm": "rms_norm", "dual_attention_layers": [0, 1]},
    ),
    "two streams, a second attention somewhere": ("SD3Transformer2DModel", {"dual_attention_layers": [1]}),
    "packed patches": ("FluxTransformer2DModel", {}),
    "packed patches, guided": ("FluxTransformer2DModel", {"guidance_embeds": True, "out_channels": 8}),
}  # fmt: skip


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.mark.parametrize("case", CASES)
def test_config_to_spec_to_config(case: str, tmp_path: Path) -> None:
    name, given = CASES[case]
    base, inputs = CLASSES[name]
    config = {**base, **given}
    reference = twin(name, config)
    reference.save_config(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["_class_name"] == name

    found = import_file(tmp_path)
    ours, theirs = inputs(dict(reference.config))
    expected = outputs(reference, theirs)
    model = graph.build(found.plan, dtype=torch.float64).eval()
    vector = "class_embedding" if "class_embed_type" in given else "add_embedding"
    load_weights(model, reference.state_dict(), Diffusers(vector=vector))
    with torch.no_grad():
        made = model(*ours)
    for ours_made, their_made in zip(made if isinstance(made, tuple) else (made,), expected, strict=True):
        assert difference(ours_made, their_made) <= TOLERANCE

    exported = export(found.plan.spec)
    again = twin(exported.pop("_class_name"), exported)
    state = reference.state_dict()  # a projection is a convolution or a linear layer: the same numbers
    again.load_state_dict({key: state[key].reshape(value.shape) for key, value in again.state_dict().items()})
    assert again.state_dict().keys() == state.keys()
    assert all(difference(a, b) <= TOLERANCE for a, b in zip(outputs(again, theirs), expected, strict=True))


def twin(name: str, config: Mapping[str, Any]) -> Any:
    """A network of diffusers in float64, also where it falls back to float32 inside; equal seeds, equal weights."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model: Any = getattr(diffusers, name)(**config).double().eval()
    for module in list(model.modules()):
        for child_name, child in module.named_children():
            if type(child).__name__ == "RMSNorm" and not isinstance(child, nn.RMSNorm):
                setattr(module, child_name, nn.RMSNorm(child.weight.shape, eps=child.eps, dtype=torch.float64))
            if type(child).__name__ == "Timesteps":
                sin_first, shift = not child.flip_sin_to_cos, child.downscale_freq_shift
                setattr(module, child_name, ExactTimesteps(child.num_channels, sin_first=sin_first, shift=shift))
    if name == "PixArtTransformer2DModel":
        model.pos_embed.__class__ = ExactPositions
    randomise(model)
    for block in getattr(model, "transformer_blocks", ())[1:]:  # a DiT has one copy of its embeddings per block
        if hasattr(block.norm1, "emb") and block.norm1.emb is not None:
            block.norm1.emb.load_state_dict(model.transformer_blocks[0].norm1.emb.state_dict())
    return model


def outputs(model: Any, call: Mapping[str, Any]) -> list[Tensor]:
    with torch.no_grad(), warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch:
        warnings.simplefilter("ignore")
        if "img_ids" in call:
            patch.setattr(Tensor, "float", Tensor.double)  # rotary positions are turned in `x.float()`
        if "latent" in call:
            return [model.encode(call["image"]).latent_dist.parameters, model.decode(call["latent"]).sample]
        return [model(**call).sample]


def test_what_a_spec_says_survives_the_config(tmp_path: Path) -> None:
    """Also where it is written in another way: multipliers, heads by width, joined images, names."""
    text = """
netspec: 1
name: own
inputs:
  {noisy: [batch, 4, side, side], mask: [batch, 1, side, side], step: [batch], words: [batch, 7, 24],
   image: [batch, 12]}
output: [batch, 4, side, side]
dims: {batch: 2, side: {min: 8, opt: 16, max: 32}}
conditioning: {image: mlp, step: {embed: sinusoidal, dim: 32}}
unet:
  image: [noisy, mask]
  base_channels: 32
  levels: [{multiplier: 1, transformer: 1}, {multiplier: 2, transformer: {depth: 2, num_heads: 4, head_dim: none}}]
  mid: {transformer: 2}
  transformer: {head_dim: 16, context: words}
"""
    plan = planner.lower(api.loads(text))
    config = export(plan.spec)
    assert config["in_channels"] == 5
    assert config["attention_head_dim"] == [2, 4]
    (tmp_path / "config.json").write_text(json.dumps(config))
    again = import_file(tmp_path).plan
    assert not list(differences(plan, again))
    assert again.cost.params == plan.cost.params
