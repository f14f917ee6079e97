"""Networks that we did not write, with their own weights: equal outputs in float64, within 1e-9 of the output's scale.

Numbers are the only proof of what counts and shapes cannot see: epsilons, the order of sines and cosines, paddings,
which half of a GEGLU is the gate, how the rows of q, k and v are packed.
"""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import nn
from twins import (
    TOLERANCE,
    ExactTimesteps,
    Golden,
    compare,
    difference,
    images,
    network,
    timesteps,
    twin,
)

from netspec.graph import Model
from netspec.weights import layouts
from netspec.weights.layouts.ldm import Ldm
from netspec.weights.load import load_weights

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of other people's imports
    from diffusers import UNet2DModel

SIDE = "{min: 16, opt: 16, max: 32}"
DIMS = f"dims: {{batch: {{min: 1, opt: 2, max: 4}}, height: {SIDE}, width: {SIDE}}}"


# DDPM


def ddpm_spec(rows: tuple[str, str, str, str], mid: str = "{attention: full}", norm: str = "{groups: 8}") -> str:
    return f"""
netspec: 1
name: ddpm
convention: ddpm
inputs: {{x: [batch, 3, height, width], t: [batch]}}
output: [batch, 3, height, width]
{DIMS}
conditioning: {{t: {{embed: sinusoidal, dim: 32}}}}
unet:
  levels: [{", ".join(rows)}]
  mid: {mid}
  blocks_per_level: 2
  block: {{type: resnet, norm: {norm}, dropout: 0.1}}
  attention: {{num_heads: 1, norm: {norm}}}
  head: {{norm: {norm}}}
"""


def ddpm_twin(attention: tuple[bool, bool, bool, bool], heads: int | None = None, mid: bool = True) -> nn.Module:
    return twin(
        UNet2DModel, ExactTimesteps(32, sin_first=True, shift=1),
        block_out_channels=(32, 64, 64, 64), layers_per_block=2, norm_num_groups=8, norm_eps=1e-6, dropout=0.1,
        attention_head_dim=heads, downsample_padding=0, flip_sin_to_cos=False, freq_shift=1, add_attention=mid,
        down_block_types=tuple("AttnDownBlock2D" if here else "DownBlock2D" for here in attention),
        up_block_types=tuple("AttnUpBlock2D" if here else "UpBlock2D" for here in reversed(attention)),
    )  # fmt: skip


PLAIN = ("{channels: 32}", "{channels: 64}", "{channels: 64}", "{channels: 64}")
AT_16 = ("{channels: 32}", "{channels: 64, attention: full}", "{channels: 64}", "{channels: 64}")


@pytest.mark.parametrize("size", [(2, 32, 32), (3, 16, 32), (1, 32, 24)])
def test_ddpm_on_several_sizes(size: tuple[int, int, int]) -> None:
    batch, height, width = size
    x, t = images(batch, 3, height, width), timesteps(batch)
    reference = ddpm_twin((False, True, False, False))
    assert compare(network(ddpm_spec(AT_16)), reference, x, t, sample=x, timestep=t) <= TOLERANCE


@pytest.mark.parametrize("attention", [(False,) * 4, (True, False, False, True), (True,) * 4])
def test_ddpm_with_attention_elsewhere(attention: tuple[bool, bool, bool, bool]) -> None:
    widths = zip((32, 64, 64, 64), attention, strict=True)
    rows = [f"{{channels: {width}{', attention: full' if here else ''}}}" for width, here in widths]
    x, t = images(2, 3, 16, 16), timesteps(2)
    model = network(ddpm_spec((rows[0], rows[1], rows[2], rows[3])))
    assert compare(model, ddpm_twin(attention), x, t, sample=x, timestep=t) <= TOLERANCE


def test_ddpm_without_attention_in_the_middle() -> None:
    x, t = images(2, 3, 16, 16), timesteps(2)
    model, reference = network(ddpm_spec(AT_16, mid="{blocks: 2}")), ddpm_twin((False, True, False, False), mid=False)
    assert compare(model, reference, x, t, sample=x, timestep=t) <= TOLERANCE


# ADM and unconditional latent diffusion, as far as diffusers expresses them: heads by width


def adm_spec(attention: tuple[bool, ...], modulation: str, resampling: tuple[str, str], classes: bool) -> str:
    widths = zip((32, 64, 64), attention, strict=True)
    rows = ", ".join(f"{{channels: {width}{', attention: full' if here else ''}}}" for width, here in widths)
    return f"""
netspec: 1
name: adm
inputs: {{x: [batch, 3, height, width], t: [batch]{", y: [batch]" if classes else ""}}}
output: [batch, 3, height, width]
{DIMS}
conditioning: {{t: {{embed: sinusoidal, dim: 32}}{", y: {embed: label, classes: 10}" if classes else ""}}}
unet:
  levels: [{rows}]
  mid: {{attention: full}}
  block: {{norm: {{groups: 8}}, modulation: {modulation}}}
  attention: {{head_dim: 16, norm: {{groups: 8}}}}
  head: {{norm: {{groups: 8}}}}
  downsample: {resampling[0]}
  upsample: {resampling[1]}
"""


def adm_twin(attention: tuple[bool, ...], modulation: str, resampling: tuple[str, str], classes: bool) -> nn.Module:
    inside = resampling[0] == "resnet"
    down, up = ("ResnetDownsampleBlock2D", "ResnetUpsampleBlock2D") if inside else ("DownBlock2D", "UpBlock2D")
    return twin(
        UNet2DModel, ExactTimesteps(32),
        block_out_channels=(32, 64, 64), layers_per_block=2, norm_num_groups=8, norm_eps=1e-5, attention_head_dim=16,
        resnet_time_scale_shift="scale_shift" if modulation == "scale_shift" else "default", attn_norm_num_groups=8,
        downsample_type="resnet" if inside else "conv", upsample_type="resnet" if inside else "conv",
        flip_sin_to_cos=True, freq_shift=0, num_class_embeds=10 if classes else None,
        down_block_types=tuple("AttnDownBlock2D" if here else down for here in attention),
        up_block_types=tuple("AttnUpBlock2D" if here else up for here in reversed(attention)),
    )  # fmt: skip


@pytest.mark.parametrize("classes", [False, True])
@pytest.mark.parametrize("resampling", [("resnet", "resnet"), ("conv", "nearest")])
@pytest.mark.parametrize("modulation", ["scale_shift", "add"])
@pytest.mark.parametrize("attention", [(False, True, True), (True, True, False)])
def test_heads_by_width(
    attention: tuple[bool, ...], modulation: str, resampling: tuple[str, str], classes: bool
) -> None:
    form = attention, modulation, resampling, classes
    x, t, y = images(3, 3, 16, 24), timesteps(3), torch.tensor([0, 4, 9])
    inputs, call = (x, t, y) if classes else (x, t), {"class_labels": y} if classes else {}
    model, reference = network(adm_spec(*form)), adm_twin(*form)
    assert compare(model, reference, *inputs, sample=x, timestep=t, **call) <= TOLERANCE


# Goldens: the original authors' code at a small width

CONDITIONED = "conditioning: {t: {embed: sinusoidal, dim: 32}, y: {embed: label, classes: 10}}"
OPENAI = "levels: [{channels: 32}, {channels: 64, attention: full}, {channels: 64, attention: full}]"


def openai(convention: str, conditioning: str, *settings: str) -> str:
    label = ", y: [batch]" if "label" in conditioning else ""
    lines = "\n  ".join([OPENAI, "mid: {attention: full}", *settings])
    return f"""
netspec: 1
name: openai
convention: {convention}
inputs: {{x: [batch, 3, 32, 32], t: [batch]{label}}}
output: [batch, 6, 32, 32]
dims: {{batch: {{min: 1, opt: 2, max: 4}}}}
{conditioning}
unet:
  {lines}
"""


def latent(channels: int, inputs: str, conditioning: str, *settings: str) -> str:
    lines = "\n  ".join(settings)
    return f"""
netspec: 1
name: latent
inputs: {{x: [batch, {channels}, 16, 16], t: [batch], {inputs}}}
output: [batch, {channels}, 16, 16]
dims: {{batch: {{min: 1, opt: 2, max: 4}}}}
conditioning: {{t: {{embed: sinusoidal, dim: 32}}{conditioning}}}
unet:
  base_channels: 32
  {lines}
"""


GOLDENS = {  # name: (spec, layout, the reference's names of our inputs)
    "sd15_unet": (
        latent(
            4, "text: [batch, 7, 24]", "",
            "levels: [{multiplier: 1, transformer: 1}, {multiplier: 2, transformer: 1}, "
            "{multiplier: 2, transformer: 1}, {multiplier: 2}]",
            "mid: {transformer: 1}", "transformer: {num_heads: 4, context: text}",
        ),
        "ldm", ("x", "timesteps", "context"),
    ),
    "ldm_cin256_crossattn": (
        latent(
            3, "token: [batch, 3, 24]", "",
            "levels: [{multiplier: 1}, {multiplier: 2, transformer: 1}, {multiplier: 3, transformer: 1}, "
            "{multiplier: 5, transformer: 1}]",
            "blocks_per_level: 1", "mid: {transformer: 1}", "transformer: {num_heads: 1, context: token}",
        ),
        "ldm", ("x", "timesteps", "context"),
    ),
    "sdxl_unet": (
        latent(
            4, "text: [batch, 7, 24], extra: [batch, 20]", ", extra: mlp",
            "levels: [{multiplier: 1}, {multiplier: 2, transformer: 2}, {multiplier: 4, transformer: 3}]",
            "mid: {transformer: 3}", "transformer: {head_dim: 16, context: text}",
        ),
        "ldm:projections=linear", ("x", "timesteps", "context", "y"),
    ),
    "guided_adm256_cond": (
        openai("adm", CONDITIONED, "attention: {head_dim: 16}", "downsample: resnet", "upsample: resnet"),
        "adm", ("x", "timesteps", "y"),
    ),
    "guided_convupdown_noss": (
        openai("ldm", "conditioning: {t: {embed: sinusoidal, dim: 32}}", "attention: {head_dim: 16}",
               "blocks_per_level: 1"),
        "adm", ("x", "timesteps"),
    ),
    "improved_imagenet64_cond": (
        openai("adm", CONDITIONED, "attention: {num_heads: 4}", "blocks_per_level: 3"),
        "adm", ("x", "timesteps", "y"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", GOLDENS)
def test_golden(name: str) -> None:
    text, layout, inputs = GOLDENS[name]
    golden, model = Golden(name), network(text)
    weights = golden.weights()
    load_weights(model, weights, layout)
    with torch.no_grad():
        output = model(*golden.inputs(inputs))
    written = dict(layouts.find(layout).ours_to_foreign(model.plan, model.state_dict()))
    assert {key: value.shape for key, value in written.items()} == {key: value.shape for key, value in weights.items()}
    assert difference(output, golden.output) <= TOLERANCE
    assert float((output - golden.output).abs().max()) <= golden.tolerance


# The comparison itself: what must not pass, does not


def _ddpm_against(model: Model, reference: nn.Module) -> float:
    x, t = images(2, 3, 16, 16), timesteps(2)
    return compare(model, reference, x, t, sample=x, timestep=t)


def test_a_wrong_epsilon_is_seen() -> None:
    model = network(ddpm_spec(AT_16, norm="{groups: 8, eps: 1e-5}"))  # the twin's is 1e-6
    assert _ddpm_against(model, ddpm_twin((False, True, False, False))) > TOLERANCE


def test_swapped_queries_and_keys_are_seen() -> None:
    model, reference = network(ddpm_spec(AT_16)), ddpm_twin((False, True, False, False))
    assert _ddpm_against(model, reference) <= TOLERANCE
    attention = model.get_submodule("down_1_attn_0")
    attention.q, attention.k = attention.k, attention.q
    x, t = images(2, 3, 16, 16), timesteps(2)
    with torch.no_grad():
        assert difference(model(x, t), reference(x, t).sample) > TOLERANCE


@pytest.mark.parametrize("wrong", ["order: cos_sin", "freq_shift: 0"])
def test_a_wrong_timestep_embedding_is_seen(wrong: str) -> None:
    model = network(ddpm_spec(AT_16).replace("dim: 32}", f"dim: 32, {wrong}}}"))
    assert _ddpm_against(model, ddpm_twin((False, True, False, False))) > TOLERANCE


def test_rows_of_q_k_v_in_the_other_order_are_seen() -> None:
    text, _, inputs = GOLDENS["improved_imagenet64_cond"]
    golden, model = Golden("improved_imagenet64_cond"), network(text)
    load_weights(model, golden.weights(), Ldm(qkv="parts_first"))
    with torch.no_grad():
        assert difference(model(*golden.inputs(inputs)), golden.output) > TOLERANCE


def test_outputs_that_prove_nothing_are_refused() -> None:
    same = torch.ones(2, 3, dtype=torch.float64)
    with pytest.raises(AssertionError, match="proves nothing"):
        difference(same, same)
    with pytest.raises(AssertionError):
        difference(images(2, 3).float(), images(2, 3).float())
