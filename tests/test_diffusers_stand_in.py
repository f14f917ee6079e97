"""What a stand-in offers, takes and refuses, one call at a time."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pipelines as tiny
import pytest
import torch
from pipelines import bundled, carried
from torch import Tensor

from netspec import api, graph, planner
from netspec.errors import ForeignError, NetspecError, UnknownName, UsageError
from netspec.integrations import packing
from netspec.integrations.diffusers import stand_in

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")

# Two orders of float32 operations in networks this small.
CLOSE = 1e-5


def drawn(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


def model(text: str, dtype: torch.dtype = torch.float32) -> Any:
    return graph.build(planner.lower(api.loads(text)), dtype=dtype)


def close(ours: Tensor, theirs: Tensor) -> bool:
    return ours.shape == theirs.shape and float((ours - theirs).abs().max() / theirs.abs().max()) <= CLOSE


@pytest.fixture
def unet() -> Any:
    return tiny.latent_unet(torch.float32)


@pytest.fixture
def inside(unet: Any) -> Any:
    return stand_in(carried(tiny.latent(), unet), like=unet)


def test_what_pipelines_read(unet: Any, inside: Any) -> None:
    assert inside.config is unet.config
    assert inside.config.in_channels == 4
    assert inside.config.time_cond_proj_dim is None
    assert (inside.dtype, inside.device) == (torch.float32, torch.device("cpu"))
    assert not inside.training
    assert inside.to(torch.float64).dtype == torch.float64
    with inside.cache_context("cond"):
        pass


def test_outputs_are_objects_or_tuples(unet: Any, inside: Any) -> None:
    x, text = drawn(2, 4, 16, 16), drawn(2, 7, 24)
    with torch.no_grad():
        expected = unet(x, 500, text).sample
        assert close(inside(x, 500, text).sample, expected)
        assert close(inside(x, 500, encoder_hidden_states=text, return_dict=False)[0], expected)


@pytest.mark.parametrize("timestep", [500, 500.0, torch.tensor(500), torch.tensor([500]), torch.tensor([500, 500])])
def test_a_timestep_holds_for_the_batch(timestep: Any, unet: Any, inside: Any) -> None:
    x, text = drawn(2, 4, 16, 16), drawn(2, 7, 24)
    with torch.no_grad():
        assert close(inside(x, timestep, text).sample, unet(x, timestep, text).sample)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("mid_block_additional_residual", torch.ones(1)),
        ("down_block_additional_residuals", (torch.ones(1),)),
        ("added_cond_kwargs", {"image_embeds": [torch.ones(1)]}),
        ("cross_attention_kwargs", {"scale": 0.5}),
        ("class_labels", torch.tensor([1])),
        ("timestep_cond", torch.ones(1, 8)),
        ("encoder_attention_mask", torch.tensor([[1, 1, 0]])),
    ],
)
def test_what_the_network_has_no_input_for_is_refused(name: str, value: Any, inside: Any) -> None:
    with pytest.raises(UsageError, match="NS933") as caught:
        inside(drawn(1, 4, 16, 16), 1, drawn(1, 7, 24), **{name: value})
    assert name in str(caught.value)


@pytest.mark.parametrize(
    "call",
    [
        {"cross_attention_kwargs": None, "added_cond_kwargs": {"image_embeds": None}},
        {"cross_attention_kwargs": {}, "encoder_attention_mask": torch.ones(1, 7)},
    ],
)
def test_arguments_that_ask_for_nothing_are_taken(call: dict[str, Any], inside: Any) -> None:
    with torch.no_grad():
        assert inside(drawn(1, 4, 16, 16), 1, drawn(1, 7, 24), **call).sample.shape == (1, 4, 16, 16)


def test_what_diffusers_does_not_know_is_a_type_error(inside: Any) -> None:
    with pytest.raises(TypeError, match="hidden_states"):
        inside(drawn(1, 4, 16, 16), 1, drawn(1, 7, 24), hidden_states=1)


def test_a_missing_argument_is_named(unet: Any) -> None:
    inside = stand_in(model(tiny.TEXT_AND_SIZES), like=tiny.sized_unet(torch.float32))
    with pytest.raises(UsageError, match=r"added_cond_kwargs\.text_embeds"):
        inside(drawn(1, 4, 16, 16), 1, drawn(1, 7, 24), added_cond_kwargs={"time_ids": drawn(1, 6)})


def test_an_image_of_several_inputs_is_split_along_its_channels() -> None:
    """Inpainting: latent, mask and masked latent, which diffusers has as one tensor of 9 channels."""
    unet = tiny.latent_unet(torch.float32, in_channels=9)
    text = tiny.latent(", mask: [batch, 1, height, width], masked: [batch, 4, height, width]")
    network = carried(text.replace("unet:\n", "unet:\n  image: [x, mask, masked]\n"), unet)
    inside = stand_in(network, like=unet)
    x, text_ = drawn(2, 9, 16, 16), drawn(2, 7, 24)
    with torch.no_grad():
        assert close(inside(x, 3, text_).sample, unet(x, 3, text_).sample)
    with pytest.raises(UsageError, match="takes 9 channels"):
        inside(drawn(1, 4, 16, 16), 3, drawn(1, 7, 24))


def test_resolution_and_aspect_ratio() -> None:
    theirs = tiny.caption_dit(torch.float32, sizes=True)
    inside = stand_in(carried(tiny.captioned(sizes=True), theirs), like=theirs)
    added = {"resolution": torch.tensor([[96.0, 160.0]]), "aspect_ratio": torch.tensor([[0.6]])}
    call = {"encoder_attention_mask": torch.tensor([[1, 1, 0]]), "added_cond_kwargs": added}
    x, text, t = drawn(1, 4, 16, 16), drawn(1, 3, 24), torch.tensor([7])
    with torch.no_grad():
        assert close(inside(x, text, t, **call).sample, theirs(x, text, t, **call).sample)


def test_an_input_that_no_argument_means_is_told_at_once(unet: Any) -> None:
    text = tiny.latent(", level: [batch]", ", level: {embed: sinusoidal, dim: 8}")
    with pytest.raises(UsageError, match=r"NS932.*`level`"):
        stand_in(model(text), like=unet)
    inside = stand_in(model(text), like=unet, inputs={"class_labels": "level"})
    with torch.no_grad():
        made = inside(drawn(1, 4, 16, 16), 1, drawn(1, 7, 24), class_labels=torch.tensor([3]))
    assert made.sample.shape == (1, 4, 16, 16)


@pytest.mark.parametrize("inputs", [{"class_labels": "nothing"}, {"nothing": "text"}])
def test_a_mapping_of_unknown_names_is_refused(inputs: dict[str, str], unet: Any) -> None:
    with pytest.raises(UsageError, match=r"NS932.*`nothing`"):
        stand_in(model(tiny.latent()), like=unet, inputs=inputs)


def test_without_an_original_the_spec_tells_class_and_config() -> None:
    unet = tiny.ddpm(torch.float32)
    inside = stand_in(carried(tiny.DDPM, unet))
    wanted = ("in_channels", "sample_size", "norm_eps", "freq_shift")
    assert {key: inside.config[key] for key in wanted} == {key: unet.config[key] for key in wanted}
    with torch.no_grad():
        assert close(inside(drawn(1, 3, 16, 16), 5).sample, unet(drawn(1, 3, 16, 16), 5).sample)
    odd = model(tiny.DDPM.replace("unet:\n", "unet:\n  downsample: maxpool\n"))
    with pytest.raises(ForeignError, match="NS646"):
        stand_in(odd)


def test_without_diffusers_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, unet: Any) -> None:
    network = model(tiny.latent())
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(UsageError, match="NS931") as caught:
        stand_in(network, like=unet)
    assert "netspec[diffusers]" in caught.value.diagnostics[0].help[0]


# Autoencoders


def test_an_autoencoder_encodes_and_decodes() -> None:
    vae = tiny.kl_vae(torch.float32)
    inside = stand_in(carried(tiny.kl(), vae), like=vae)
    x, z = drawn(2, 3, 16, 24), drawn(2, 4, 8, 12)
    assert inside.config.scaling_factor == vae.config.scaling_factor
    with torch.no_grad():
        ours, theirs = inside.encode(x).latent_dist, vae.encode(x).latent_dist
        assert close(ours.mean, theirs.mean)
        assert close(ours.logvar, theirs.logvar)
        generators = [torch.Generator().manual_seed(5) for _ in range(2)]
        assert close(ours.sample(generators[0]), theirs.sample(generators[1]))
        assert close(inside.decode(z).sample, vae.decode(z).sample)
        assert close(inside.decode(z, return_dict=False)[0], vae.decode(z, return_dict=False)[0])
        assert close(inside(x).sample, vae(x).sample)
        assert close(inside.encode(x, return_dict=False)[0].mode(), theirs.mode())


def test_a_model_of_two_halves_runs_the_one_that_is_asked_for() -> None:
    vae = tiny.kl_vae(torch.float32)
    network = carried(tiny.kl(), vae)
    inside, run = stand_in(network, like=vae), []
    for name, module in network.named_children():
        module.register_forward_hook(lambda *_, name=name: run.append(name))
    with torch.no_grad():
        inside.decode(drawn(1, 4, 8, 8))
    assert run
    assert all(name.startswith("decoder") for name in run)
    assert [name for name, _ in inside.named_parameters()] == [
        f"network.model.{n}" for n, _ in network.named_parameters()
    ]


def test_half_an_autoencoder_refuses_the_other_half() -> None:
    text = tiny.kl().replace("autoencoder:\n", "autoencoder:\n  encoder: none\n")
    text = text.replace("image: [batch, 3, height, width], ", "").replace(
        "moments: [batch, 8, height/2, width/2], ", ""
    )
    text = text.partition("targets:")[0].replace(f"height: {tiny.SIDE}, width: {tiny.SIDE}, ", "")
    inside = stand_in(model(text), like=tiny.kl_vae(torch.float32))
    with torch.no_grad():
        assert inside.decode(drawn(1, 4, 8, 8)).sample.shape == (1, 3, 16, 16)
    with pytest.raises(UsageError, match="has no encoder"):
        inside.encode(drawn(1, 3, 16, 16))


# Bundles


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundled(carried(tiny.DDPM, tiny.ddpm(torch.float32)), tmp_path_factory.mktemp("bundles") / "ddpm")


def test_a_bundle_keeps_its_precision(bundle: Path) -> None:
    inside = stand_in(bundle, like=tiny.ddpm(torch.float32))
    assert inside.to("cpu").device == torch.device("cpu")
    assert inside.to(torch.float32).dtype == torch.float32
    with pytest.raises(UsageError, match=r"NS933.*float16"):
        inside.to(torch.float16)


def test_a_bundle_takes_other_precisions_of_its_inputs(bundle: Path) -> None:
    inside = stand_in(bundle, like={"_class_name": "UNet2DModel", **tiny.ddpm(torch.float32).config})
    x = drawn(1, 3, 16, 16).bfloat16()
    assert close(inside(x, 3).sample, inside(x.float(), 3).sample)


def test_an_unknown_target_or_folder_is_told(bundle: Path, tmp_path: Path) -> None:
    unet = tiny.ddpm(torch.float32)
    with pytest.raises(UnknownName, match="NS212"):
        stand_in(bundle, like=unet, target="edge")
    with pytest.raises(NetspecError, match="NS614"):
        stand_in(tmp_path, like=unet)


# Packed latents


def test_packing_is_that_of_the_pipeline() -> None:
    from diffusers import FluxPipeline

    image = drawn(2, 4, 6, 10)
    tokens = FluxPipeline._pack_latents(image, 2, 4, 6, 10)
    ids = FluxPipeline._prepare_latent_image_ids(1, 3, 5, torch.device("cpu"), torch.float32)
    assert packing.grid(ids) == (3, 5)
    assert torch.equal(packing.packed(image, (3, 5)), tokens)
    assert torch.equal(packing.unpacked(tokens, (3, 5), 4), image)


@pytest.mark.parametrize("wrong", ["shifted", "half", "axis"])
def test_coordinates_that_are_no_grid_are_refused(wrong: str) -> None:
    ids = torch.cartesian_prod(torch.zeros(1), torch.arange(2.0), torch.arange(3.0))
    ids = {"shifted": ids + torch.tensor([0, 1, 0]), "half": ids[:5], "axis": ids + torch.tensor([1, 0, 0])}[wrong]
    inside = stand_in(model(tiny.UNPACKED), like=tiny.streams(torch.float32))
    call = {"encoder_hidden_states": drawn(1, 5, 24), "pooled_projections": drawn(1, 12), "timestep": torch.ones(1)}
    call |= {"guidance": torch.ones(1), "txt_ids": torch.zeros(5, 3)}
    with pytest.raises(UsageError, match="not those of one grid"):
        inside(drawn(1, len(ids), 16), img_ids=ids, **call)
