"""Helpers of test_diffusers_*.py: tiny networks as specs and as diffusers' classes, and images before and after.

Every pair is one network, said twice; weights are random, and every one of them matters.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from netspec import api, compiler, graph, planner
from netspec.graph import Model
from netspec.weights.load import load_weights, save_weights

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of other people's imports
    import diffusers

# Two orders of float64 operations differ by some 1e-14 of the largest value, and three steps of a sampler keep it so;
# a wrong epsilon or frequency moves latents by 1e-6 and more. Nothing this small moves a pixel by one.
EXACT = 1e-9
# Two float32 engines differ by some 1e-6 at each step; classifier-free guidance multiplies that by its scale.
SINGLE = 1e-4

Images = tuple[np.ndarray, np.ndarray]  # as uint8, and the latents (or images) that they were made from


def sinusoids(
    timesteps: Tensor,
    embedding_dim: int,
    flip_sin_to_cos: bool = False,
    downscale_freq_shift: float = 1,
    scale: float = 1,
    max_period: int = 10000,
) -> Tensor:
    """diffusers' timestep embedding in float64: its own computes angles in float32, which alone would cost 1e-7."""
    half = embedding_dim // 2
    rates = torch.exp(-math.log(max_period) * torch.arange(half).double() / (half - downscale_freq_shift))
    angles = scale * timesteps.double()[:, None] * rates
    parts = [angles.sin(), angles.cos()]
    return torch.cat(parts[::-1] if flip_sin_to_cos else parts, dim=-1)


def made(cls: str, dtype: torch.dtype, **config: Any) -> Any:
    """A diffusers model with every parameter moved, so that none is 0 or 1."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = getattr(diffusers, cls)(**config)
    for parent in list(module.modules()):  # its own RMSNorm takes means in float32, whatever the input
        for name, child in parent.named_children():
            if type(child).__name__ == "RMSNorm":
                setattr(parent, name, nn.RMSNorm(child.weight.shape, eps=child.eps))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += 0.05 * torch.randn(parameter.shape, generator=generator)
    return module.to(dtype).eval()


def carried(text: str, reference: nn.Module) -> Model:
    """Our network with a diffusers model's weights, in its precision."""
    dtype = next(p.dtype for p in reference.parameters())
    model = graph.build(planner.lower(api.loads(text)), dtype=dtype)
    load_weights(model, reference.state_dict(), "diffusers")
    return model


def bundled(model: Model, folder: Path) -> Path:
    """The bundle of a model with its weights."""
    folder.mkdir()
    save_weights(model, folder / "weights.safetensors")
    options = compiler.Options(weights=str(folder / "weights.safetensors"), parity=False)
    compiler.compile(model.spec, folder / "bundle", options)
    return folder / "bundle"


def images(pipe: Any, latents: bool = True, **call: Any) -> Images:
    """What a pipeline makes in a few steps from one seed."""
    pipe.set_progress_bar_config(disable=True)
    kinds = ("np", "latent") if latents else ("np",)
    found = [
        np.asarray(
            pipe(generator=torch.Generator().manual_seed(3), num_inference_steps=3, output_type=kind, **call).images
        )
        for kind in kinds
    ]
    assert found[0].std() > 0.01, "a constant image proves nothing"
    return (found[0] * 255).round().astype(np.uint8), found[-1]


def same(run: Callable[[], Images], replace: Callable[[], None], tolerance: float) -> None:
    """Images before and after a part is replaced: equal to the last bit of every pixel; where engines differ by
    rounding, a pixel may stand on the border between two values."""
    pixels, raw = run()
    replace()
    again, raw_again = run()
    tolerance = max(tolerance, float(np.finfo(raw.dtype).eps))  # some pipelines return float32 whatever they computed
    assert np.abs(raw - raw_again).max() <= tolerance * np.abs(raw).max()
    assert np.abs(pixels.astype(int) - again).max() <= (0 if tolerance < SINGLE else 1)


SIDE = "{min: 8, opt: 16, max: 32}"
DIMS = f"dims: {{batch: {{min: 1, opt: 2, max: 4}}, height: {SIDE}, width: {SIDE}}}"
NORM = "norm: {groups: 8}"

DDPM = f"""
netspec: 1
name: ddpm
convention: ddpm
inputs: {{x: [batch, 3, height, width], t: [batch]}}
output: [batch, 3, height, width]
{DIMS}
conditioning: {{t: {{embed: sinusoidal, dim: 32}}}}
unet:
  levels: [{{channels: 32}}, {{channels: 64, attention: full}}]
  mid: {{attention: full}}
  blocks_per_level: 1
  block: {{{NORM}}}
  attention: {{num_heads: 1, {NORM}}}
  head: {{{NORM}}}
"""


def ddpm(dtype: torch.dtype) -> Any:
    return made(
        "UNet2DModel", dtype, sample_size=16, block_out_channels=(32, 64), layers_per_block=1, norm_num_groups=8,
        norm_eps=1e-6, attention_head_dim=None, downsample_padding=0, flip_sin_to_cos=False, freq_shift=1,
        down_block_types=("DownBlock2D", "AttnDownBlock2D"), up_block_types=("AttnUpBlock2D", "UpBlock2D"),
    )  # fmt: skip


def latent(inputs: str = "", conditioning: str = "", channels: int = 4) -> str:
    """A U-Net of latents that attends to 7 tokens of width 24."""
    return f"""
netspec: 1
name: latent
inputs: {{x: [batch, {channels}, height, width], t: [batch], text: [batch, 7, 24]{inputs}}}
output: [batch, 4, height, width]
{DIMS}
conditioning: {{t: {{embed: sinusoidal, dim: 32}}{conditioning}}}
unet:
  levels: [{{channels: 32, transformer: 1}}, {{channels: 64}}]
  mid: {{transformer: 1}}
  blocks_per_level: 1
  block: {{{NORM}}}
  transformer: {{num_heads: 4, context: text, {NORM}}}
  head: {{{NORM}}}
"""


TEXT_AND_SIZES = latent(
    ", pooled: [batch, 12], sizes: [batch, 6]",
    ", added: {embed: mlp, of: [pooled, {input: sizes, sinusoids: 8}]}",
)


def latent_unet(dtype: torch.dtype, **config: Any) -> Any:
    usual = {"in_channels": 4}
    return made(
        "UNet2DConditionModel", dtype, sample_size=16, out_channels=4, block_out_channels=(32, 64), layers_per_block=1,
        norm_num_groups=8, cross_attention_dim=24, attention_head_dim=4,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"), up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        **usual | config,
    )  # fmt: skip


def sized_unet(dtype: torch.dtype) -> Any:
    """With pooled text and sizes beside the timestep."""
    return latent_unet(
        dtype, addition_embed_type="text_time", addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=12 + 6 * 8,
    )  # fmt: skip


def kl(channels: int = 4, quant: str = "") -> str:
    """An autoencoder whose latents have half the image's sides; its halves are targets of their own."""
    return f"""
netspec: 1
name: kl
inputs: {{image: [batch, 3, height, width], latent: [batch, {channels}, rows, columns]}}
outputs: {{moments: [batch, {2 * channels}, height/2, width/2], decoded: [batch, 3, 2*rows, 2*columns]}}
{DIMS[:-1]}, rows: {SIDE}, columns: {SIDE}}}
autoencoder:
  levels: [{{channels: 16}}, {{channels: 32}}]
  blocks_per_level: 1
  mid: {{attention: full}}
  block: {{{NORM}}}
  attention: {{num_heads: 1, {NORM}}}
  head: {{{NORM}}}
  {quant}
targets: {{encoder: {{exporter: onnx, outputs: [moments]}}, decoder: {{exporter: onnx, outputs: [decoded]}}}}
"""


def kl_vae(dtype: torch.dtype, **config: Any) -> Any:
    usual = {"latent_channels": 4, "sample_size": 32}
    return made(
        "AutoencoderKL", dtype, block_out_channels=(16, 32), layers_per_block=1, norm_num_groups=8,
        down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2, **usual | config,
    )  # fmt: skip


# diffusers has frequencies of its own here: those of DDPM, where DiT's authors have those of ADM.
DIT = """
netspec: 1
name: dit
inputs: {x: [batch, 4, 16, 16], t: [batch], y: [batch]}
output: [batch, 8, 16, 16]
dims: {batch: {min: 1, opt: 2, max: 4}}
conditioning: {t: {embed: sinusoidal, dim: 256, freq_shift: 1}, y: {embed: label, classes: 1000, dropout: 0.1}}
dit: {patch_size: 2, hidden_size: 32, depth: 2, num_heads: 2}
"""


def dit(dtype: torch.dtype) -> Any:
    model = made(
        "DiTTransformer2DModel", dtype, num_attention_heads=2, attention_head_dim=16, in_channels=4, out_channels=8,
        num_layers=2, sample_size=16, patch_size=2, num_embeds_ada_norm=1000, norm_eps=1e-6,
    )  # fmt: skip
    first = model.transformer_blocks[0].norm1.emb
    for block in model.transformer_blocks:  # it keeps one copy per block, which are equal in published files
        block.norm1.emb.load_state_dict(first.state_dict())
    return model


def mmdit(vector: str = "pooled: mlp") -> str:
    """Two streams on latents of 16 channels in patches of 2."""
    return f"""
netspec: 1
name: mmdit
inputs: {{x: [batch, 16, height, width], t: [batch], pooled: [batch, 20], text: [batch, length, 24]}}
output: [batch, 16, height, width]
{DIMS[:-1]}, length: {{min: 1, opt: 7, max: 9}}}}
conditioning: {{t: {{embed: sinusoidal, dim: 256}}, {vector}}}
dit:
  patch_size: 2
  hidden_size: 64
  depth: 2
  num_heads: 4
  context: {{input: text, attention: joint, update_last: false}}
  pos_embed: {{type: sincos, grid: 16, crop: center}}
"""


def joint(dtype: torch.dtype) -> Any:
    return made(
        "SD3Transformer2DModel", dtype, sample_size=8, pos_embed_max_size=16, in_channels=16, out_channels=16,
        attention_head_dim=16, num_attention_heads=4, joint_attention_dim=24, caption_projection_dim=64,
        pooled_projection_dim=20, num_layers=2,
    )  # fmt: skip


_PACKED_INPUTS = "img: [batch, tokens, 16], img_ids: [batch, tokens, 3], txt_ids: [batch, length, 3]"
PACKED = f"""
netspec: 1
name: packed
inputs:
  {{{_PACKED_INPUTS}, txt: [batch, length, 24], t: [batch], pooled: [batch, 12], guidance: [batch]}}
output: [batch, tokens, 16]
dims: {{batch: {{min: 1, opt: 2, max: 4}}, tokens: {{min: 4, opt: 24, max: 64}}, length: {{min: 1, opt: 5, max: 9}}}}
conditioning:
  t: {{embed: sinusoidal, dim: 256, scale: 1000}}
  pooled: mlp
  guidance: {{embed: sinusoidal, dim: 256, scale: 1000}}
dit:
  patch_size: none
  hidden_size: 64
  depth: 2
  single_depth: 2
  num_heads: 4
  qk_norm: rms
  context: {{input: txt, attention: joint, ids: txt_ids}}
  pos_embed: {{type: rope, axes: [4, 6, 6], ids: img_ids}}
"""

# The same network, with patches and their coordinates inside.
UNPACKED = (
    PACKED.replace(_PACKED_INPUTS, "img: [batch, 4, height, width]")
    .replace("output: [batch, tokens, 16]", "output: [batch, 4, height, width]")
    .replace("tokens: {min: 4, opt: 24, max: 64}", f"height: {SIDE}, width: {SIDE}")
    .replace("patch_size: none", "patch_size: 2")
    .replace(", ids: txt_ids", "")
    .replace(", ids: img_ids", "")
)


def streams(dtype: torch.dtype) -> Any:
    return made(
        "FluxTransformer2DModel", dtype, in_channels=16, num_layers=2, num_single_layers=2, attention_head_dim=16,
        num_attention_heads=4, joint_attention_dim=24, pooled_projection_dim=12, guidance_embeds=True,
        axes_dims_rope=(4, 6, 6),
    )  # fmt: skip


def captioned(sizes: bool = False) -> str:
    """One stream that attends to a caption of some tokens; with `sizes`, told the image's height, width and aspect."""
    inputs = ", resolution: [batch, 2], aspect_ratio: [batch, 1]" if sizes else ""
    numbers = ", sizes: {embed: numbers, of: [resolution, aspect_ratio], dim: 256}" if sizes else ""
    return f"""
netspec: 1
name: captioned
inputs: {{x: [batch, 4, 16, 16], t: [batch], text: [batch, tokens, 24], there: [batch, tokens]{inputs}}}
output: [batch, 8, 16, 16]
dims: {{batch: {{min: 1, opt: 2, max: 4}}, tokens: {{min: 1, opt: 7, max: 12}}}}
conditioning: {{t: {{embed: sinusoidal, dim: 256}}{numbers}}}
dit:
  patch_size: 2
  hidden_size: 72
  depth: 2
  num_heads: 4
  modulation: adaln_single
  pos_embed: {{type: sincos, span: 8}}
  context: {{input: text, project: mlp, norm: none, mask: there}}
"""


def caption_dit(dtype: torch.dtype, sizes: bool = False) -> Any:
    return made(
        "PixArtTransformer2DModel", dtype, num_attention_heads=4, attention_head_dim=18, in_channels=4, out_channels=8,
        num_layers=2, cross_attention_dim=72, caption_channels=24, sample_size=16, patch_size=2,
        interpolation_scale=1, use_additional_conditions=sizes,
    )  # fmt: skip
