"""Transformers of two streams: the original authors' code and diffusers, equal outputs in float64."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from twins import TOLERANCE, ExactTimesteps, Golden, difference, images, network, randomise, timesteps

from netspec.graph import Model
from netspec.weights import layouts
from netspec.weights.load import load_weights

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of other people's imports
    from diffusers import FluxTransformer2DModel, SD3Transformer2DModel


SIDE = "{min: 8, opt: 16, max: 24}"


def mmdit(width: int, depth: int, heads: int, *settings: str) -> str:
    lines = "\n  ".join(settings)
    return f"""
netspec: 1
name: mmdit
inputs: {{x: [batch, 16, height, width], t: [batch], pooled: [batch, 20], text: [batch, length, 24]}}
output: [batch, 16, height, width]
dims: {{batch: {{min: 1, opt: 2, max: 4}}, height: {SIDE}, width: {SIDE}, length: {{min: 1, opt: 7, max: 9}}}}
conditioning: {{t: {{embed: sinusoidal, dim: 256}}, pooled: mlp}}
dit:
  patch_size: 2
  hidden_size: {width}
  depth: {depth}
  num_heads: {heads}
  context: {{input: text, attention: joint, update_last: false}}
  pos_embed: {{type: sincos, grid: 12, crop: center}}
  {lines}
"""


AXES = "axes: [4, 6, 6]"
IDS = f"{{type: rope, {AXES}, ids: img_ids}}"


def packed(width: int = 64, *, guided: bool = True, positions: str = IDS) -> str:
    """Packed tokens and their coordinates as inputs."""
    guidance = ", guidance: [batch]" if guided else ""
    embed = ", guidance: {embed: sinusoidal, dim: 256, scale: 1000}" if guided else ""
    return f"""
netspec: 1
name: packed
inputs:
  {{img: [batch, tokens, 16], img_ids: [batch, tokens, 3], txt: [batch, length, 20], txt_ids: [batch, length, 3],
   t: [batch], pooled: [batch, 12]{guidance}}}
output: [batch, tokens, 16]
dims: {{batch: {{min: 1, opt: 2, max: 4}}, tokens: {{min: 4, opt: 24, max: 64}}, length: {{min: 1, opt: 5, max: 9}}}}
conditioning: {{t: {{embed: sinusoidal, dim: 256, scale: 1000}}, pooled: mlp{embed}}}
dit:
  patch_size: none
  hidden_size: {width}
  depth: 2
  single_depth: 3
  num_heads: {width // 16}
  qk_norm: rms
  context: {{input: txt, attention: joint, ids: txt_ids}}
  pos_embed: {positions}
"""


def run(model: Model, *inputs: Tensor) -> Tensor:
    with torch.no_grad():
        return model(*inputs)  # type: ignore[no-any-return]  # a module's call is untyped


# Goldens: the original authors' code at a small width

GOLDENS = {  # name: (spec, layout, the reference's names of our inputs)
    "sd3_mmdit": (mmdit(128, 2, 2), "sd3", ("x", "t", "y", "context")),
    "sd35_medium_mmditx": (mmdit(192, 3, 3, "qk_norm: rms", "dual_attention: 2"), "sd3", ("x", "t", "y", "context")),
    "flux_dev": (packed(), "flux", ("img", "img_ids", "txt", "txt_ids", "timesteps", "y", "guidance")),
}


@pytest.mark.parametrize("name", GOLDENS)
def test_golden(name: str) -> None:
    text, layout, inputs = GOLDENS[name]
    golden, model = Golden(name), network(text)
    load_weights(model, golden.weights(), layout)
    output = run(model, *golden.inputs(inputs))
    assert difference(output, golden.output) <= TOLERANCE
    assert float((output - golden.output).abs().max()) <= golden.tolerance


# diffusers


class ExactNorm(nn.RMSNorm):
    """diffusers' own `RMSNorm` takes the mean of squares in float32, whatever its input."""


def exactly(model: nn.Module, time: nn.Module | None = None) -> Any:
    """The model in float64, with random weights, and with float64 where it falls back to float32 inside."""
    model = model.double().eval()
    for module in list(model.modules()):
        for name, child in module.named_children():
            if type(child).__name__ == "RMSNorm" and not isinstance(child, nn.RMSNorm):
                setattr(module, name, ExactNorm(child.weight.shape, eps=child.eps, dtype=torch.float64))
    randomise(model)
    model.time_text_embed.time_proj = time or ExactTimesteps(256)
    return model


def sd3_twin(**config: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return exactly(
            SD3Transformer2DModel(
                sample_size=8, pos_embed_max_size=12, in_channels=16, out_channels=16, attention_head_dim=16,
                num_attention_heads=4, joint_attention_dim=24, caption_projection_dim=64, pooled_projection_dim=20,
                **config,
            )
        )  # fmt: skip


@pytest.mark.parametrize(("batch", "height", "width", "length"), [(2, 16, 16, 7), (3, 12, 20, 1), (1, 24, 8, 9)])
@pytest.mark.parametrize(
    ("settings", "config"),
    [
        ((), {"num_layers": 2}),
        (("qk_norm: rms",), {"num_layers": 2, "qk_norm": "rms_norm"}),
        (("qk_norm: layer",), {"num_layers": 2, "qk_norm": "layer_norm"}),
        (
            ("qk_norm: rms", "dual_attention: [0, 2]"),
            {"num_layers": 3, "qk_norm": "rms_norm", "dual_attention_layers": (0, 2)},
        ),
    ],
    ids=["plain", "rms", "layer", "dual"],
)
def test_two_streams_of_diffusers(
    settings: tuple[str, ...], config: dict[str, Any], batch: int, height: int, width: int, length: int
) -> None:
    reference, model = sd3_twin(**config), network(mmdit(64, config["num_layers"], 4, *settings))
    load_weights(model, reference.state_dict(), "diffusers")
    x, t, pooled, text = (
        images(batch, 16, height, width),
        timesteps(batch),
        images(batch, 20),
        images(batch, length, 24),
    )
    with torch.no_grad():
        expected = reference(x, text, pooled, t).sample
    assert difference(run(model, x, t, pooled, text), expected) <= TOLERANCE


def test_positions_of_a_scaled_grid_are_computed_as_published() -> None:
    """Every other weight comes from a file, and so may these; but a network that trains from nothing computes them."""
    table = network(mmdit(64, 1, 4).replace("crop: center", "crop: center, scale: 3")).state_dict()["pos_embed.table"]
    theirs = sd3_twin(num_layers=1).pos_embed.pos_embed
    assert float((table.flatten(1, 2) - theirs).abs().max()) <= 1e-7  # they are stored in float32


def coordinates(batch: int, rows: int, columns: int) -> Tensor:
    """(0, row, column) of every patch."""
    grid = torch.cartesian_prod(torch.arange(1.0), torch.arange(float(rows)), torch.arange(float(columns)))
    return grid.double().expand(batch, -1, -1)


def flux_twin(*, guided: bool = True) -> Any:
    return exactly(
        FluxTransformer2DModel(
            in_channels=16, num_layers=2, num_single_layers=3, attention_head_dim=16, num_attention_heads=4,
            joint_attention_dim=20, pooled_projection_dim=12, guidance_embeds=guided, axes_dims_rope=(4, 6, 6),
        )
    )  # fmt: skip


@pytest.mark.parametrize("guided", [True, False])
@pytest.mark.parametrize(("batch", "rows", "columns", "length"), [(2, 4, 6, 5), (1, 8, 3, 9), (3, 5, 5, 1)])
def test_two_streams_then_one_of_diffusers(
    guided: bool, batch: int, rows: int, columns: int, length: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Tensor, "float", Tensor.double)  # rotary positions are turned in `x.float()`
    reference, model = flux_twin(guided=guided), network(packed(guided=guided))
    load_weights(model, reference.state_dict(), "diffusers")
    img, txt, pooled = images(batch, rows * columns, 16), images(batch, length, 20), images(batch, 12)
    t, guidance = torch.linspace(0.1, 1, batch), torch.linspace(2, 7, batch)
    img_ids, txt_ids = coordinates(batch, rows, columns), images(batch, length, 3)[:1].expand(batch, -1, -1)
    with torch.no_grad():
        expected = reference(
            img, txt, pooled, t, img_ids[0], txt_ids[0], guidance if guided else None
        ).sample  # fmt: skip
    made = run(model, img, img_ids, txt, txt_ids, t, pooled, *([guidance] if guided else []))
    assert difference(made, expected) <= TOLERANCE


# Two forms of one network


def image_form(width: int = 64) -> str:
    """The network of `packed` on the image itself: 4 channels in patches of 2."""
    text = packed(width, positions=f"{{type: rope, {AXES}}}")
    text = text.replace("img: [batch, tokens, 16], img_ids: [batch, tokens, 3]", "img: [batch, 4, height, width]")
    text = text.replace(", txt_ids: [batch, length, 3]", "").replace(", ids: txt_ids", "")
    text = text.replace("output: [batch, tokens, 16]", "output: [batch, 4, height, width]")
    text = text.replace("tokens: {min: 4, opt: 24, max: 64}", f"height: {SIDE}, width: {SIDE}")
    return text.replace("patch_size: none", "patch_size: 2")


def pack(image: Tensor) -> Tensor:
    """Patches of 2 as tokens (channels, rows, columns), as the published pipelines do it."""
    return nn.functional.unfold(image, kernel_size=2, stride=2).transpose(1, 2)


@pytest.mark.parametrize("layout", ["flux", "diffusers"])
@pytest.mark.parametrize(("height", "width"), [(16, 16), (10, 22)])
def test_an_image_and_its_packed_patches_are_one_network(height: int, width: int, layout: str) -> None:
    """Patches of an image stand at (0, row, column), text at 0, and one checkpoint serves both."""
    tokens, whole = network(packed()), network(image_form())
    randomise(tokens)
    state = layouts.find(layout).ours_to_foreign(tokens.plan, tokens.state_dict())
    load_weights(whole, dict(state), layout)
    image, txt, pooled = images(2, 4, height, width), images(2, 5, 20), images(2, 12)
    t, guidance = torch.tensor([0.2, 0.9]), torch.tensor([3.5, 1.0])
    ids, zeros = coordinates(2, height // 2, width // 2), torch.zeros(2, 5, 3, dtype=torch.float64)
    expected = run(tokens, pack(image), ids, txt, zeros, t, pooled, guidance)
    made = run(whole, image, txt, t, pooled, guidance)
    assert difference(pack(made), expected) <= TOLERANCE


def test_sequences_joined_as_the_image_are_one_sequence_of_their_widths() -> None:
    """A picture to fill lies beside the latent, token by token, as the published pipelines put it there."""
    text = packed().replace("img: [batch, tokens, 16]", "img: [batch, tokens, 12], known: [batch, tokens, 4]")
    whole, joined = network(packed()), network(text.replace("dit:", "dit:\n  image: [img, known]"))
    randomise(whole)
    joined.load_state_dict(whole.state_dict())
    img, txt, pooled, ids = images(2, 24, 16), images(2, 5, 20), images(2, 12), coordinates(2, 4, 6)
    rest = (txt, images(2, 5, 3), torch.tensor([0.2, 0.9]), pooled, torch.tensor([3.5, 1.0]))
    wanted, made = run(whole, img, ids, *rest), run(joined, img[..., :12], img[..., 12:], ids, *rest)
    assert difference(made, wanted) <= TOLERANCE


# What must not pass, does not


@pytest.mark.parametrize("wrong", ["theta: 9999", "axes: [6, 4, 6]"], ids=["theta", "axes"])
def test_wrong_rotary_positions_are_seen(wrong: str) -> None:
    _, layout, inputs = GOLDENS["flux_dev"]
    positions = IDS.replace(AXES, wrong if "axes" in wrong else f"{AXES}, {wrong}")
    golden, model = Golden("flux_dev"), network(packed(positions=positions))
    load_weights(model, golden.weights(), layout)
    assert difference(run(model, *golden.inputs(inputs)), golden.output) > TOLERANCE


def test_modulation_in_the_other_order_is_seen() -> None:
    """The last layers of diffusers have scale before shift, of the last block's context as well."""
    reference, model = sd3_twin(num_layers=2), network(mmdit(64, 2, 4))
    load_weights(model, reference.state_dict(), "diffusers")
    x, t, pooled, text = images(2, 16, 16, 16), timesteps(2), images(2, 20), images(2, 7, 24)
    with torch.no_grad():
        expected = reference(x, text, pooled, t).sample
        for name in ("block_1.context.modulation.linear", "head.modulation.linear"):
            linear = model.get_submodule(name)
            linear.bias.copy_(torch.cat(linear.bias.chunk(2)[::-1]))
            assert difference(run(model, x, t, pooled, text), expected) > TOLERANCE
            linear.bias.copy_(torch.cat(linear.bias.chunk(2)[::-1]))
    assert difference(run(model, x, t, pooled, text), expected) <= TOLERANCE
