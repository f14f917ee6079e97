"""Networks of latent diffusion against diffusers' UNet2DConditionModel, with its own weights, in float64."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from twins import TOLERANCE, ExactTimesteps, compare, difference, images, network, timesteps, twin

from netspec import api, graph, planner
from netspec.weights.layouts.diffusers import Diffusers
from netspec.weights.load import load_weights

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of other people's imports
    from diffusers import UNet2DConditionModel

DIMS = """
dims:
  batch: {min: 1, opt: 2, max: 4}
  height: {min: 16, opt: 16, max: 32}
  width: {min: 16, opt: 16, max: 32}
"""
LEVELS = """
    - {channels: 32, transformer: DEPTH}
    - {channels: 64, transformer: DEPTH}
    - {channels: 64, transformer: DEPTH}
    - {channels: 64}
"""


def sd_spec(
    *more: str, depth: int = 1, heads: str = "num_heads: 4", inputs: str = "", extra: str = "", levels: str = LEVELS,
    mid: str = "{transformer: DEPTH}",
) -> str:  # fmt: skip
    """`inputs` and `extra` are more inputs and more entries of `conditioning`; `more` are lines of `unet`."""
    lines = "\n  ".join([f"levels: {levels}", f"mid: {mid}", *more]).replace("DEPTH", str(depth))
    return f"""
netspec: 1
name: sd
inputs: {{x: [batch, 4, height, width], t: [batch], text: [batch, 7, 24]{inputs}}}
output: [batch, 4, height, width]
{DIMS}
conditioning: {{t: {{embed: sinusoidal, dim: 32}}{extra}}}
unet:
  block: {{norm: {{groups: 8}}}}
  transformer: {{{heads}, context: text, norm: {{groups: 8}}}}
  head: {{norm: {{groups: 8}}}}
  {lines}
"""


def sd_twin(**config: Any) -> nn.Module:
    return twin(
        UNet2DConditionModel, ExactTimesteps(32),
        **{
            "attention_head_dim": 4, "sample_size": 16, "block_out_channels": (32, 64, 64, 64), "norm_num_groups": 8,
            "cross_attention_dim": 24,
        } | config,
    )  # fmt: skip


@pytest.mark.parametrize("size", [(2, 16, 16), (3, 16, 24), (1, 32, 16)])
@pytest.mark.parametrize(("depth", "linear"), [(1, False), (2, False), (2, True)])
def test_stable_diffusion(size: tuple[int, int, int], depth: int, linear: bool) -> None:
    batch, height, width = size
    x, t, text = images(batch, 4, height, width), timesteps(batch), images(batch, 7, 24)
    reference = sd_twin(transformer_layers_per_block=depth, use_linear_projection=linear)
    model = network(sd_spec(depth=depth))
    assert compare(model, reference, x, t, text, sample=x, timestep=t, encoder_hidden_states=text) <= TOLERANCE


def test_stable_diffusion_with_heads_by_width() -> None:
    """The second version's: diffusers calls the list of head counts `attention_head_dim`."""
    x, t, text = images(2, 4, 16, 16), timesteps(2), images(2, 7, 24)
    reference = sd_twin(attention_head_dim=(2, 4, 4, 4), use_linear_projection=True)
    model = network(sd_spec(heads="head_dim: 16"))
    assert compare(model, reference, x, t, text, sample=x, timestep=t, encoder_hidden_states=text) <= TOLERANCE


PLAIN_DOWN, PLAIN_UP = ("DownBlock2D",), ("UpBlock2D",)
CROSS_DOWN, CROSS_UP = ("CrossAttnDownBlock2D",), ("CrossAttnUpBlock2D",)
SHAPES: dict[str, tuple[str, dict[str, Any]]] = {  # name: (ours, theirs)
    "depth and blocks per level, none at full resolution": (
        sd_spec(levels="[32, {channels: 64, transformer: 2, blocks: 1}, {channels: 64, transformer: 3}]",
                mid="{transformer: 3}", heads="head_dim: 16"),
        {"block_out_channels": (32, 64, 64), "layers_per_block": (2, 1, 2), "attention_head_dim": (2, 4, 4),
         "transformer_layers_per_block": (1, 2, 3), "use_linear_projection": True,
         "down_block_types": PLAIN_DOWN + CROSS_DOWN * 2, "up_block_types": CROSS_UP * 2 + PLAIN_UP},
    ),
    "no middle": (sd_spec(mid="none"), {"mid_block_type": None}),
    "one block in the middle": (sd_spec(mid="{blocks: 1}"), {"mid_block_type": "UNetMidBlock2D"}),
    "scale and shift": (
        sd_spec("block: {modulation: scale_shift, norm: {groups: 8}}").replace("  block: {norm: {groups: 8}}\n", ""),
        {"resnet_time_scale_shift": "scale_shift"},
    ),
    "a wide stem": (
        sd_spec("stem: {kernel: 5}").replace("head: {", "head: {kernel: 1, "),
        {"conv_in_kernel": 5, "conv_out_kernel": 1},
    ),
    "attention to the context alone": (
        sd_spec(heads="num_heads: 4, attends: [context, context]", mid="{transformer: {attends: [self, context]}}"),
        {"only_cross_attention": True, "mid_block_only_cross_attention": False},
    ),
    "one head": (sd_spec(heads="num_heads: 1"), {"attention_head_dim": 1}),
}  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES)
def test_other_shapes(shape: str) -> None:
    text, config = SHAPES[shape]
    x, t, tokens = images(2, 4, 16, 24), timesteps(2), images(2, 7, 24)
    call = {"sample": x, "timestep": t, "encoder_hidden_states": tokens}
    assert compare(network(text), sd_twin(**config), x, t, tokens, **call) <= TOLERANCE


def test_classes_and_a_context() -> None:
    reference = sd_twin(num_class_embeds=9, use_linear_projection=True)
    model = network(sd_spec(inputs=", y: [batch]", extra=", y: {embed: label, classes: 9}"))
    x, t, text, y = images(3, 4, 16, 16), timesteps(3), images(3, 7, 24), torch.tensor([0, 8, 4])
    call = {"sample": x, "timestep": t, "encoder_hidden_states": text, "class_labels": y}
    assert compare(model, reference, x, t, text, y, **call) <= TOLERANCE


def added_twin(**config: Any) -> nn.Module:
    return sd_twin(
        addition_embed_type="text_time", addition_time_embed_dim=4, projection_class_embeddings_input_dim=44,
        attention_head_dim=(2, 4, 4, 4), use_linear_projection=True, **config,
    )  # fmt: skip


@pytest.mark.parametrize("batch", [1, 3])
def test_pooled_text_and_sizes_are_embedded_inside(batch: int) -> None:
    reference = added_twin()
    reference.add_time_proj = ExactTimesteps(4)
    model = network(
        sd_spec(
            heads="head_dim: 16", inputs=", pooled: [batch, 20], sizes: [batch, 6]",
            extra=", added: {embed: mlp, of: [pooled, {input: sizes, sinusoids: 4}]}",
        )
    )  # fmt: skip
    x, t, text, pooled = images(batch, 4, 16, 16), timesteps(batch), images(batch, 7, 24), images(batch, 20)
    sizes = torch.tensor([[1024.0, 768, 0, 13, 512, 640], [64, 64, 7, 0, 64, 65], [999, 1, 1, 0, 3, 4]])[
        :batch
    ].double()
    call = {"sample": x, "timestep": t, "encoder_hidden_states": text}
    added = {"text_embeds": pooled, "time_ids": sizes.double()}
    inputs = x, t, text, pooled, sizes.double()
    assert compare(model, reference, *inputs, **call, added_cond_kwargs=added) <= TOLERANCE


def test_a_vector_made_outside() -> None:
    reference: Any = added_twin()
    vectors: list[Tensor] = []
    reference.add_embedding.register_forward_pre_hook(lambda module, inputs: vectors.append(inputs[0]))
    x, t, text = images(2, 4, 16, 16), timesteps(2), images(2, 7, 24)
    added = {"text_embeds": images(2, 20), "time_ids": images(2, 6).abs() * 100}
    with torch.no_grad():
        expected = reference(x, t, text, added_cond_kwargs=added).sample
    model = network(sd_spec(heads="head_dim: 16", inputs=", extra: [batch, 44]", extra=", extra: mlp"))
    load_weights(model, reference.state_dict(), "diffusers")
    with torch.no_grad():
        assert difference(model(x, t, text, vectors[0]), expected) <= TOLERANCE


@pytest.mark.parametrize("layout", [Diffusers(vector="class_embedding"), "diffusers:vector=class_embedding"])
def test_vector_conditioning_from_an_image_embedding(layout: Diffusers | str) -> None:
    reference = sd_twin(class_embed_type="projection", projection_class_embeddings_input_dim=44)
    model = network(sd_spec(inputs=", extra: [batch, 44]", extra=", extra: mlp"))
    x, t, text, extra = images(2, 4, 16, 16), timesteps(2), images(2, 7, 24), images(2, 44)
    call = {"sample": x, "timestep": t, "encoder_hidden_states": text, "class_labels": extra}
    assert compare(model, reference, x, t, text, extra, layout=layout, **call) <= TOLERANCE


def test_sizes_keep_their_value_in_half_precision() -> None:
    """bfloat16 has no number between 3000 and 3008, and a photograph may have 3001 rows."""
    conditioning = "{embed: mlp, of: [pooled, {input: sizes, sinusoids: 4}]}"
    text = sd_spec(inputs=", pooled: [batch, 20], sizes: [batch, 1]", extra=f", added: {conditioning}")
    plan = planner.lower(api.loads(text))
    assert {name: plan.inputs[name].dtype for name in ("pooled", "sizes")} == {"pooled": "", "sizes": "float32"}
    embed = graph.build(plan, dtype=torch.bfloat16).get_submodule("embed_added")
    pooled = torch.ones(2, 20, dtype=torch.bfloat16)
    one, other = embed(pooled, torch.tensor([[3001.0], [3003.0]]))
    assert one.dtype == torch.bfloat16
    assert not torch.equal(one, other)
