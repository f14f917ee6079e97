"""Autoencoders that we did not write, with their own weights: equal moments and images in float64, also by halves."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from plain_autoencoder import PlainAutoencoder
from plain_autoencoder import Plan as Plain
from torch import Tensor, nn
from twins import TOLERANCE, Golden, difference, images, network, randomise, twin

from netspec import api
from netspec.graph import Model
from netspec.plan import Plan
from netspec.weights.layouts import find
from netspec.weights.load import load_weights

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of other people's imports
    from diffusers import AutoencoderKL

SPECS = Path(__file__).resolve().parents[2] / "specs" / "autoencoder"
ENCODER, DECODER = "DownEncoderBlock2D", "UpDecoderBlock2D"
WITH_ATTENTION = ("AttnDownEncoderBlock2D", "AttnUpDecoderBlock2D")


def kl_spec(
    widths: tuple[int, ...] = (32, 64, 128, 128),
    attention: tuple[int, ...] = (),
    channels: int = 4,
    groups: int = 32,
    image: int = 3,
    more: str = "mid: {attention: full}",
) -> str:
    rows = (f"{{channels: {w}{', attention: full' if i in attention else ''}}}" for i, w in enumerate(widths))
    factor, norm = 2 ** (len(widths) - 1), f"norm: {{groups: {groups}}}"
    down = "height, width" if factor == 1 else f"height/{factor}, width/{factor}"
    return f"""
netspec: 1
name: kl
inputs: {{image: [batch, {image}, height, width], latent: [batch, {channels}, rows, columns]}}
outputs:
  moments: [batch, {2 * channels}, {down}]
  decoded: [batch, {image}, {factor}*rows, {factor}*columns]
dims:
  batch:   {{min: 1, opt: 1, max: 4}}
  height:  {{min: 16, opt: 32, max: 64}}
  width:   {{min: 16, opt: 32, max: 64}}
  rows:    {{min: 2, opt: 4, max: 9}}
  columns: {{min: 2, opt: 4, max: 9}}
autoencoder:
  levels: [{", ".join(rows)}]
  block: {{{norm}}}
  attention: {{num_heads: 1, {norm}}}
  head: {{{norm}}}
  {more}
"""


def kl_twin(widths: tuple[int, ...] = (32, 64, 128, 128), attention: tuple[int, ...] = (), **config: Any) -> nn.Module:
    down, up = (
        [WITH_ATTENTION[side] if i in attention else plain for i in range(len(widths))]
        for side, plain in enumerate((ENCODER, DECODER))
    )
    usual = {"latent_channels": 4, "layers_per_block": 2, "sample_size": 32}
    return twin(
        AutoencoderKL, block_out_channels=widths, down_block_types=tuple(down), up_block_types=tuple(reversed(up)),
        **usual | config,
    )  # fmt: skip


def differences(model: Model, reference: Any, image: Tensor, latent: Tensor) -> tuple[float, float]:
    load_weights(model, reference.state_dict(), "diffusers")
    with torch.no_grad():
        moments, decoded = model(image, latent)
        encoded = reference.encode(image).latent_dist.parameters
        return difference(moments, encoded), difference(decoded, reference.decode(latent).sample)


@pytest.mark.parametrize("size", [(1, 32, 32, 4, 4), (2, 32, 48, 5, 3)])
def test_autoencoder_of_diffusers(size: tuple[int, int, int, int, int]) -> None:
    batch, height, width, rows, columns = size
    image, latent = images(batch, 3, height, width), images(batch, 4, rows, columns)
    assert max(differences(network(kl_spec()), kl_twin(), image, latent)) <= TOLERANCE


@pytest.mark.parametrize("attention", [(2,), (1, 2)])
def test_attention_in_levels(attention: tuple[int, ...]) -> None:
    widths = (16, 32, 64)
    model = network(kl_spec(widths, attention, groups=8, image=1, channels=3))
    reference = kl_twin(widths, attention, norm_num_groups=8, in_channels=1, out_channels=1, latent_channels=3)
    assert max(differences(model, reference, images(2, 1, 16, 32), images(2, 3, 3, 5))) <= TOLERANCE


def test_many_channels_without_quant() -> None:
    widths = (16, 32)
    model = network(kl_spec(widths, channels=16, groups=16, more="quant: none\n  mid: {attention: full}"))
    reference = kl_twin(widths, latent_channels=16, norm_num_groups=16, use_quant_conv=False, use_post_quant_conv=False)
    assert max(differences(model, reference, images(1, 3, 16, 16), images(1, 16, 3, 7))) <= TOLERANCE


@pytest.mark.parametrize("blocks", [1, 3])
def test_other_depths_and_no_attention(blocks: int) -> None:
    widths = (16, 16)
    model = network(kl_spec(widths, groups=16, more=f"mid: {{}}\n  blocks_per_level: {blocks}"))
    reference = kl_twin(widths, norm_num_groups=16, layers_per_block=blocks, mid_block_add_attention=False)
    assert max(differences(model, reference, images(1, 3, 16, 16), images(1, 4, 3, 7))) <= TOLERANCE


# The original


def test_golden_kl_f8() -> None:
    golden = Golden("sd_vae_kl_f8")
    model = network(kl_spec())
    load_weights(model, golden.weights(), "kl")
    with torch.no_grad():
        moments, decoded = model(*golden.inputs(["x", "z"]))
    assert float((moments - golden.made("moments")).abs().max()) <= golden.tolerance
    assert float((decoded - golden.made("decoded")).abs().max()) <= golden.tolerance


def test_golden_halves_from_a_whole_file_and_from_their_own() -> None:
    golden, spec = Golden("sd_vae_kl_f8"), api.loads(kl_spec())
    state = golden.weights() | {"loss.logvar": torch.zeros(())}
    halves = {"moments": ("x", ("encoder", "quant_conv")), "decoded": ("z", ("decoder", "post_quant_conv"))}
    for output, (name, starts) in halves.items():
        own = {key: value for key, value in state.items() if key.startswith(starts)}
        for given in (state, own, {f"first_stage_model.{key}": value for key, value in state.items()}):
            half = api.build(spec, outputs=[output], dtype=torch.float64).eval()
            load_weights(half, given, "kl")
            with torch.no_grad():
                assert float((half(*golden.inputs([name])) - golden.made(output)).abs().max()) <= golden.tolerance


def test_a_decoder_without_an_encoder() -> None:
    """A spec of one half reads files of both."""
    golden = Golden("sd_vae_kl_f8")
    text = kl_spec(more="mid: {attention: full}\n  encoder: none")
    text = text.replace("image: [batch, 3, height, width], ", "").replace("moments: [batch, 8, height/8, width/8]", "")
    text = text.replace("  height:  {min: 16, opt: 32, max: 64}\n  width:   {min: 16, opt: 32, max: 64}\n", "")
    model = network(text)
    for layout, state in (("kl", golden.weights()), ("diffusers", kl_twin().state_dict())):
        load_weights(model, state, layout)
        assert {name.partition("_")[0] for name, _ in model.named_children()} == {"decoder"}


# Without a golden: a plain re-implementation that reproduces the golden stands for the rest of its family


def test_the_plain_network_reproduces_the_golden() -> None:
    golden, plain = Golden("sd_vae_kl_f8"), PlainAutoencoder(Plain()).double().eval()
    plain.load_state_dict(golden.weights())
    image, latent = golden.inputs(["x", "z"])
    with torch.no_grad():
        assert difference(plain.encode(image), golden.made("moments")) <= TOLERANCE
        assert difference(plain.decode(latent), golden.made("decoded")) <= TOLERANCE


def plain_spec(plan: Plain, *settings: str) -> str:
    """The same network in our words; what differs from an autoencoder of latent diffusion stands in `settings`."""
    factor, latent = 2 ** (len(plan.multipliers) - 1), plan.latent or plan.inside
    rows = (
        f"{{multiplier: {multiplier}{', attention: full' if level in plan.attends else ''}}}"
        for level, multiplier in enumerate(plan.multipliers)
    )
    lines = "\n  ".join([f"levels: [{', '.join(rows)}]", *settings])
    return f"""
netspec: 1
name: plain
inputs: {{image: [batch, {plan.image[0]}, height, width], latent: [batch, {latent}, rows, columns]}}
outputs:
  moments: [batch, {plan.moments * latent}, height/{factor}, width/{factor}]
  decoded: [batch, {plan.image[1]}, {factor}*rows, {factor}*columns]
dims:
  batch:   {{min: 1, opt: 1, max: 4}}
  height:  {{min: 32, opt: 32, max: 64}}
  width:   {{min: 32, opt: 32, max: 64}}
  rows:    {{min: 1, opt: 4, max: 9}}
  columns: {{min: 2, opt: 4, max: 9}}
autoencoder:
  base_channels: {plan.width}
  blocks_per_level: {plan.blocks}
  mid: {"{attention: full}" if plan.middle else "{}"}
  attention: {{num_heads: 1}}
  {lines}
"""


F4 = Plain(multipliers=(1, 2, 4), inside=3, latent=3)
PIXELS = ("downsample: avgpool", "upsample: {type: nearest, kernel: none}")
FORMS: dict[str, tuple[Plain, tuple[str, ...]]] = {
    "factor 16, attention at the deepest level": (
        Plain(multipliers=(1, 1, 2, 2, 4), attends=(4,), inside=16, latent=16), ()
    ),
    "factor 32, attention at two levels": (
        Plain(multipliers=(1, 1, 2, 2, 4, 4), attends=(4, 5), inside=64, latent=64), ()
    ),
    "factor 4": (F4, ()),
    "a latent alone, for a codebook": (replace(F4, moments=1), ()),
    "a latent alone, no attention": (replace(F4, moments=1, middle=False), ()),
    "fewer channels in the latent than inside": (
        Plain(inside=6), ("encoder: {channels: 12}", "decoder: {channels: 6}"),
    ),
    "sixteen channels and no convolution around them": (Plain(inside=16, latent=None), ("quant: none",)),
    "sizes change without weights": (Plain(learned=False), PIXELS),
    "grey in, four out, three blocks": (Plain(image=(1, 4), blocks=3, attends=(1,)), ()),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_plain_autoencoders(form: str) -> None:
    plan, settings = FORMS[form]
    plain, model = PlainAutoencoder(plan).double().eval(), network(plain_spec(plan, *settings))
    randomise(plain)
    state, codebook = plain.state_dict(), {"quantize.embedding.weight": torch.zeros(8, 3)}
    for layout, given in (
        ("kl", state),
        ("auto", {f"first_stage_model.{key}": state[key] for key in state} | codebook),
    ):
        load_weights(model, given, layout)
    load_weights(model, state | codebook)
    image = images(2, plan.image[0], 32, 64)
    latent = images(2, plan.latent or plan.inside, 1, 3)
    with torch.no_grad():
        moments, decoded = model(image, latent)
        assert difference(moments, plain.encode(image)) <= TOLERANCE
        assert difference(decoded, plain.decode(latent)) <= TOLERANCE


# Published sizes, by names and shapes alone


def published(**config: Any) -> dict[str, tuple[int, ...]]:
    with torch.device("meta"):
        model = AutoencoderKL(
            down_block_types=(ENCODER,) * len(config["block_out_channels"]),
            up_block_types=(DECODER,) * len(config["block_out_channels"]), layers_per_block=2, **config,
        )  # fmt: skip
    return {key: tuple(value.shape) for key, value in model.state_dict().items()}


def plan_of(name: str) -> Plan:
    file, _, variant = name.partition("@")
    return api.lower(api.load(SPECS / f"{file}.yaml", variant=variant or None))


NO_QUANT = {"use_quant_conv": False, "use_post_quant_conv": False}


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("kl_f8", {"block_out_channels": (128, 256, 512, 512), "latent_channels": 4}),
        ("kl_f8_16ch", {"block_out_channels": (128, 256, 512, 512), "latent_channels": 16} | NO_QUANT),
        ("kl_f4", {"block_out_channels": (128, 256, 512), "latent_channels": 3}),
        ("kl_f4@upscaler", {"block_out_channels": (128, 256, 512), "latent_channels": 4}),
    ],
)
def test_published_keys(name: str, config: dict[str, Any]) -> None:
    plan, layout = plan_of(name), find("diffusers")
    ours = {key: shape for e in layout.entries(plan) for key, shape in zip(e.foreign, e.foreign_shapes, strict=True)}
    assert ours == published(**config)


@pytest.mark.parametrize("name", ["kl_f8", "kl_f8_16ch", "kl_f16", "kl_f32"])
@pytest.mark.parametrize("layout", ["kl", "diffusers"])
def test_round_trip(name: str, layout: str) -> None:
    """There and back is the identity, on names and shapes; halves have the keys of the whole."""
    plan, rules = plan_of(name), find(layout)
    with torch.device("meta"):
        ours = {
            key: torch.empty(shape) for e in rules.entries(plan) for key, shape in zip(e.ours, e.shapes, strict=True)
        }
    foreign = dict(rules.ours_to_foreign(plan, ours))
    again = dict(rules.foreign_to_ours(plan, foreign))
    assert {key: value.shape for key, value in again.items()} == {key: value.shape for key, value in ours.items()}
    halves = [dict(rules.ours_to_foreign(plan.only([output]), ours)) for output in plan.outputs]
    assert halves[0].keys() | halves[1].keys() == foreign.keys()
    assert not halves[0].keys() & halves[1].keys()
    for part, other in ((plan.only(["moments"]), halves[1]), (plan.only(["decoded"]), halves[0])):
        assert all(key.startswith(rules.beside(part)) for key in other)


def test_the_original_keys() -> None:
    """Every key of the original at a tiny width, and no other."""
    golden = Golden("sd_vae_kl_f8")
    entries = find("kl").entries(api.lower(api.loads(kl_spec())))
    assert {key for entry in entries for key in entry.foreign} == golden.weights().keys()
