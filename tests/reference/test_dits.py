"""Transformers of one stream, by the original authors' code and by diffusers: equal outputs in float64."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from twins import (
    TOLERANCE,
    ExactPositions,
    ExactTimesteps,
    Golden,
    compare,
    difference,
    images,
    network,
    randomise,
    timesteps,
)

from netspec.errors import WeightsError
from netspec.graph import Model
from netspec.weights import layouts
from netspec.weights.load import load_weights

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of other people's imports
    from diffusers import DiTTransformer2DModel, PixArtTransformer2DModel
    from diffusers.models.embeddings import get_2d_sincos_pos_embed


# Labels in one vector


def dit(size: int = 16, *, patch: int = 2, channels: int = 8, settings: str = "") -> str:
    return f"""
netspec: 1
name: dit
inputs: {{x: [batch, 4, {size}, {size}], t: [batch], y: [batch]}}
output: [batch, {channels}, {size}, {size}]
dims: {{batch: {{min: 1, opt: 2, max: 4}}}}
conditioning: {{t: {{embed: sinusoidal, dim: 256}}, y: {{embed: label, classes: 10, dropout: 0.1}}}}
dit: {{patch_size: {patch}, hidden_size: 64, depth: 2, num_heads: 4{settings}}}
"""


def dit_twin(size: int, patch: int, channels: int, **config: Any) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model: Any = DiTTransformer2DModel(
            num_attention_heads=4, attention_head_dim=16, in_channels=4, out_channels=channels, num_layers=2,
            sample_size=size, patch_size=patch, num_embeds_ada_norm=10, **config,
        ).double().eval()  # fmt: skip
    randomise(model)
    first = model.transformer_blocks[0].norm1.emb
    for block in model.transformer_blocks:  # it keeps one copy per block, which are equal in published files
        block.norm1.emb.load_state_dict(first.state_dict())
        block.norm1.emb.time_proj = ExactTimesteps(256)
    return model  # type: ignore[no-any-return]  # diffusers is untyped


def against_dit(model: Model, reference: nn.Module, size: int) -> float:
    x, t, y = images(3, 4, size, size), timesteps(3), torch.tensor([0, 7, 10])
    return compare(model, reference, x, t, y, hidden_states=x, timestep=t, class_labels=y)


@pytest.mark.parametrize(("size", "patch", "channels"), [(16, 2, 8), (32, 2, 8), (16, 4, 8), (24, 8, 4)])
def test_dit_of_diffusers(size: int, patch: int, channels: int) -> None:
    reference = dit_twin(size, patch, channels, norm_eps=1e-6)
    model = network(dit(size, patch=patch, channels=channels))
    assert against_dit(model, reference, size) <= TOLERANCE


def test_dit_as_diffusers_configures_it() -> None:
    """Its published configs have 1e-5 in the norm before the MLP, and 1e-6, as everywhere, before attention."""
    reference = dit_twin(16, 2, 8)
    assert against_dit(network(dit(settings=", mlp_norm_eps: 1e-5")), reference, 16) <= TOLERANCE
    assert against_dit(network(dit()), reference, 16) > TOLERANCE


def test_the_original_dit() -> None:
    golden, model = Golden("dit_xl2_classcond"), network(dit())
    table = model.get_buffer("pos_embed.table").clone()
    load_weights(model, golden.weights(), "dit")
    assert torch.equal(table, model.get_buffer("pos_embed.table")), "computed and stored positions"
    with torch.no_grad():
        assert difference(model(*golden.inputs(("x", "t", "y"))), golden.output) <= TOLERANCE


def test_an_unconditional_dit_is_one_whose_classes_say_nothing() -> None:
    reference: Any = dit_twin(16, 2, 4, norm_eps=1e-6)
    for block in reference.transformer_blocks:
        nn.init.zeros_(block.norm1.emb.class_embedder.embedding_table.weight)
    labelled = network(dit(channels=4))
    load_weights(labelled, reference.state_dict(), "diffusers")
    state = dict(layouts.find("dit").ours_to_foreign(labelled.plan, labelled.state_dict()))
    text = dit(channels=4).replace(", y: [batch]", "").replace(", y: {embed: label, classes: 10, dropout: 0.1}", "")
    model = network(text)
    load_weights(model, {key: value for key, value in state.items() if not key.startswith("y_embedder")}, "dit")
    x, t = images(2, 4, 16, 16), timesteps(2)
    with torch.no_grad():
        wanted = reference(x, timestep=t, class_labels=torch.tensor([0, 7])).sample
        assert difference(model(x, t), wanted) <= TOLERANCE
    with pytest.raises(WeightsError, match="NS609"):  # diffusers has no class for it
        layouts.find("diffusers").entries(model.plan)


# Conditioning as tokens, of which the paper's authors released no code: against PyTorch's own layers

TRANSFORMER: dict[str, Any] = {
    "d_model": 64, "nhead": 4, "dim_feedforward": 256, "dropout": 0.0, "layer_norm_eps": 1e-6, "batch_first": True,
    "norm_first": True, "dtype": torch.float64, "activation": lambda x: nn.functional.gelu(x, approximate="tanh"),
}  # fmt: skip


@pytest.mark.parametrize("attention", ["in_context", "cross"])
def test_conditioning_as_tokens(attention: str) -> None:
    settings = f", modulation: none, context: {{input: conditioning, attention: {attention}}}"
    model = network(dit(settings=settings))
    randomise(model)
    x, t, y = images(2, 4, 16, 16), timesteps(2), torch.tensor([0, 7])
    parts = dict(model.named_children())
    with torch.no_grad():
        tokens = parts["pos_embed"](parts["patch_embed"](x))
        sides = torch.stack([parts["embed_t"](t), parts["embed_y"](y)], dim=1)
        h = torch.cat([tokens, sides], dim=1) if attention == "in_context" else tokens
        for name in ("block_0", "block_1"):
            h = layer(parts[name])(h) if attention == "in_context" else layer(parts[name])(h, sides)
        wanted = parts["unpatchify"](parts["head"](h[:, : tokens.shape[1]]), x)
        assert difference(model(x, t, y), wanted) <= TOLERANCE


def layer(block: nn.Module) -> nn.Module:
    """PyTorch's layer of the same kind, with the block's weights: with attention to a memory, or without."""
    cross = "cross_attn" in dict(block.named_children())
    made = (nn.TransformerDecoderLayer if cross else nn.TransformerEncoderLayer)(**TRANSFORMER).eval()
    names = {"self_attn": "attn", "linear1": "mlp_in", "linear2": "mlp_out", "norm1": "norm1"}
    names |= {"multihead_attn": "cross_attn", "norm2": "norm_cross", "norm3": "norm2"} if cross else {"norm2": "norm2"}
    ours = block.state_dict()
    state = {}
    for key in made.state_dict():
        part, _, leaf = key.partition(".")
        if leaf.startswith("in_proj_"):
            stacked = [ours[f"{names[part]}.{each}.{leaf.removeprefix('in_proj_')}"] for each in "qkv"]
            state[key] = torch.cat(stacked)
        else:
            state[key] = ours[f"{names[part]}.{leaf.replace('out_proj', 'out')}"]
    made.load_state_dict(state)
    return made


# Text by cross-attention, one modulation for all blocks


def pixart(
    *, height: str = "height", width: str = "width", positions: str = "span: 8", length: int | str = "tokens",
    sizes: bool = False, masked: bool = True,
) -> str:  # fmt: skip
    """A width of 72 shares itself out among three numbers; images vary from 8 to 32, captions from 1 to 12 tokens."""
    wide = 72 if sizes else 64
    inputs = [f"x: [batch, 4, {height}, {width}]", "t: [batch]", f"text: [batch, {length}, 24]"]
    inputs += [f"text_mask: [batch, {length}]"] if masked else []
    inputs += ["resolution: [batch, 2]", "aspect_ratio: [batch, 1]"] if sizes else []
    numbers = ", sizes: {embed: numbers, of: [resolution, aspect_ratio], dim: 256}" if sizes else ""
    side = "{min: 8, opt: 16, max: 32}"
    words = f", height: {side}" * (height == "height") + f", width: {side}" * (width == "width")
    words += ", tokens: {min: 1, opt: 10, max: 12}" * (length == "tokens")
    return f"""
netspec: 1
name: pixart
inputs: {{{", ".join(inputs)}}}
output: [batch, 8, {height}, {width}]
dims: {{batch: {{min: 1, opt: 2, max: 4}}{words}}}
conditioning: {{t: {{embed: sinusoidal, dim: 256}}{numbers}}}
dit:
  patch_size: 2
  hidden_size: {wide}
  depth: 2
  num_heads: 4
  modulation: adaln_single
  pos_embed: {{type: sincos, {positions}}}
  context: {{input: text, project: mlp, norm: none{", mask: text_mask" if masked else ""}}}
"""


def pixart_twin(head: int = 16, exact: bool = True, **config: Any) -> nn.Module:
    """`exact`: positions in float64."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model: Any = PixArtTransformer2DModel(
            num_attention_heads=4, attention_head_dim=head, in_channels=4, out_channels=8, num_layers=2,
            cross_attention_dim=4 * head, caption_channels=24, **{"use_additional_conditions": False} | config,
        ).double().eval()  # fmt: skip
    randomise(model)
    if exact:
        model.pos_embed.__class__ = ExactPositions
    model.adaln_single.emb.time_proj = ExactTimesteps(256)
    if model.use_additional_conditions:
        model.adaln_single.emb.additional_condition_proj = ExactTimesteps(256)
    return model  # type: ignore[no-any-return]  # diffusers is untyped


def masks(batch: int, length: int) -> Tensor:
    """The first sample has all tokens, the next ones fewer."""
    return (torch.arange(length) < length - 3 * torch.arange(batch)[:, None]).long()


def against_pixart(
    model: Model, reference: nn.Module, batch: int, height: int, width: int, masked: bool = True
) -> float:
    x, t, text = images(batch, 4, height, width), timesteps(batch), images(batch, 10, 24)
    call = {"hidden_states": x, "timestep": t, "encoder_hidden_states": text}
    inputs = [x, t, text]
    if masked:
        inputs.append(masks(batch, 10))
        call["encoder_attention_mask"] = inputs[-1]
    added: Any = {"resolution": None, "aspect_ratio": None}
    if reference.use_additional_conditions:
        added = {"resolution": images(batch, 2).abs() * 800, "aspect_ratio": images(batch, 1).abs() + 0.3}
        inputs += added.values()
    return compare(model, reference, *inputs, **call, added_cond_kwargs=added)


@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("scale", [0.5, 1, 2])
@pytest.mark.parametrize("size", [(2, 16, 16), (3, 24, 10), (1, 8, 32)])
def test_pixart_of_diffusers_on_several_sizes(size: tuple[int, int, int], scale: float, masked: bool) -> None:
    """diffusers stretches positions over the image: as long as `sample_size`'s grid over `interpolation_scale`."""
    reference = pixart_twin(sample_size=16, interpolation_scale=scale)
    model = network(pixart(positions=f"span: {8 / scale}", masked=masked))
    assert against_pixart(model, reference, *size, masked) <= TOLERANCE


@pytest.mark.parametrize("size", [(2, 16, 16), (3, 12, 26)])
def test_pixart_with_resolution_and_aspect_ratio(size: tuple[int, int, int]) -> None:
    reference = pixart_twin(18, sample_size=16, use_additional_conditions=True)
    assert against_pixart(network(pixart(sizes=True)), reference, *size) <= TOLERANCE


@pytest.mark.parametrize(("positions", "scale"), [("scale: 2", 2), ("span: 4", 2), ("scale: 0.5", 0.5)])
def test_positions_of_a_fixed_size_are_a_table(positions: str, scale: float) -> None:
    model = network(pixart(height="16", width="16", positions=positions))
    assert model.plan.cost.frozen == 8 * 8 * 64
    assert (
        against_pixart(model, pixart_twin(exact=False, sample_size=16, interpolation_scale=scale), 2, 16, 16)
        <= TOLERANCE
    )


def test_the_original_pixart() -> None:
    """Captions of several lengths, which the original packs without padding."""
    golden = Golden("pixart_xl2_256")
    model = network(pixart(height="16", width="16", positions="scale: 1", length=10))
    table = model.get_buffer("pos_embed.table").clone()
    load_weights(model, golden.weights(), "pixart")
    assert torch.equal(table, model.get_buffer("pos_embed.table")), "computed and stored positions"
    x, t, text, mask = golden.inputs(("x", "timestep", "y", "mask"))
    with torch.no_grad():
        output = model(x, t, text[:, 0], mask[:, 0, 0])
    assert difference(output, golden.output) <= TOLERANCE


@pytest.mark.parametrize("size", [(24, 10), (8, 32)])
def test_positions_of_images_that_are_not_square_are_never_read(size: tuple[int, int]) -> None:
    """A file has the table of a square; that of 8 x 32 has as many rows, in another order."""
    reference = pixart_twin(exact=False, sample_size=16)
    height, width = (str(side) for side in size)
    varying, fixed = network(pixart()), network(pixart(height=height, width=width))
    load_weights(varying, reference.state_dict(), "diffusers")
    state = dict(layouts.find("pixart").ours_to_foreign(varying.plan, varying.state_dict()))
    state["pos_embed"] = images(1, 64, 64)
    x, t, text, mask = images(2, 4, *size), timesteps(2), images(2, 10, 24), masks(2, 10)
    call = {"hidden_states": x, "timestep": t, "encoder_hidden_states": text, "encoder_attention_mask": mask}
    for layout in ("pixart", "auto"):
        load_weights(fixed, {"state_dict": state}, layout)
        with torch.no_grad():
            wanted = reference(**call, added_cond_kwargs={"resolution": None, "aspect_ratio": None}).sample
            assert difference(fixed(x, t, text, mask), wanted) <= TOLERANCE
    assert "pos_embed" not in dict(layouts.find("pixart").ours_to_foreign(fixed.plan, fixed.state_dict()))


def test_what_a_mask_hides_does_not_matter() -> None:
    model = network(pixart())
    randomise(model)
    x, t, text, mask = images(2, 4, 16, 16), timesteps(2), images(2, 10, 24), masks(2, 10)
    other = torch.where(mask[..., None] == 0, 100.0, text)
    with torch.no_grad():
        assert torch.equal(model(x, t, text, mask), model(x, t, other, mask))
        assert torch.equal(model(x, t, text, mask), model(x, t, text, mask.bool()))
        assert not torch.equal(model(x, t, text, mask), model(x, t, text, torch.ones_like(mask)))


def test_appended_tokens_are_masked_as_attended_ones_are() -> None:
    """Hidden tokens of an in-context caption change nothing, and without them the image is the same."""
    text = pixart().replace("norm: none", "attention: in_context")
    model = network(text)
    randomise(model)
    x, t, caption = images(2, 4, 16, 12), timesteps(2), images(2, 10, 24)
    mask = torch.tensor([[1] * 7 + [0] * 3] * 2)
    with torch.no_grad():
        whole, short = model(x, t, caption, mask), model(x, t, caption[:, :7], mask[:, :7])
    assert difference(whole, short) <= TOLERANCE


# Position tables, number for number


@pytest.mark.parametrize(
    ("places", "base", "interpolation", "ours"),
    [
        (16, 16, 1, "scale: 1"),
        (16, 16, 0.5, "scale: 0.5"),
        (64, 64, 2, "scale: 2"),
        (64, 64, 2, "span: 32"),
        (192, 64, 1, "scale: 3"),
        (384, 64, 1, "span: 64"),
        (24, 64, 2, "span: 32"),
    ],
)
def test_position_tables(places: int, base: int, interpolation: float, ours: str) -> None:
    """`base` is the grid that diffusers' `base_size` stretches every other one over."""
    wanted = get_2d_sincos_pos_embed(32, places, base_size=base, interpolation_scale=interpolation, output_type="pt")
    size = str(2 * places)
    text = pixart(height=size, width=size, positions=ours).replace("hidden_size: 64", "hidden_size: 32")
    assert torch.equal(network(text).get_buffer("pos_embed.table").flatten(0, 2), wanted.float().double())


def test_a_wrong_table_or_an_unmasked_caption_is_seen() -> None:
    reference = pixart_twin(sample_size=16, interpolation_scale=2)
    assert against_pixart(network(pixart(positions="span: 8")), reference, 2, 16, 16) > TOLERANCE
    model = network(pixart(positions="span: 4", masked=False))
    x, t, text = images(2, 4, 16, 16), timesteps(2), images(2, 10, 24)
    call = {"hidden_states": x, "timestep": t, "encoder_hidden_states": text, "encoder_attention_mask": masks(2, 10)}
    added: Any = {"resolution": None, "aspect_ratio": None}
    assert compare(model, reference, x, t, text, **call, added_cond_kwargs=added) > TOLERANCE
