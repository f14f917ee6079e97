"""A netspec model, and an ONNX bundle, in the place of a pipeline's network: the images stay the same.

Pipelines are diffusers' own, tiny, with random weights, run for a few steps from one seed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import diffusers
import pipelines as tiny
import pytest
import torch
from pipelines import EXACT, SINGLE, bundled, carried, images, same
from torch import Tensor

from netspec.integrations.diffusers import stand_in

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")

both = pytest.mark.parametrize("form", ["model", "bundle"], indirect=True)


@pytest.fixture(autouse=True)
def _exact(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("diffusers.models.embeddings.get_timestep_embedding", tiny.sinusoids)


class Form:
    """How the network stands in: as a model in float64, or as a bundle in float32."""

    def __init__(self, form: str, folder: Path) -> None:
        self.bundle, self.folder = form == "bundle", folder
        self.dtype, self.tolerance = (torch.float32, SINGLE) if self.bundle else (torch.float64, EXACT)

    def __call__(self, text: str, reference: Any, **options: Any) -> Any:
        model = carried(text, reference)
        if not self.bundle:
            return stand_in(model, like=reference, **options)
        like = {"_class_name": type(reference).__name__, **reference.config}  # as one has it who has no weights
        return stand_in(bundled(model, self.folder / model.spec.name), like=like, **options)


@pytest.fixture
def form(request: pytest.FixtureRequest, tmp_path: Path) -> Form:
    return Form(request.param, tmp_path)


def drawn(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def replaced(pipe: Any, form: Form, call: dict[str, Any], latents: bool = True, **parts: str) -> None:
    """The images of a pipeline are the same when its parts are replaced, each by the network of a spec's text."""

    def replace() -> None:
        for name, text in parts.items():
            setattr(pipe, name, form(text, getattr(pipe, name)))

    same(lambda: images(pipe, latents, **call), replace, form.tolerance)


@both
@pytest.mark.parametrize("kind", ["DDPM", "DDIM"])
def test_unconditional(kind: str, form: Form) -> None:
    pipe = getattr(diffusers, f"{kind}Pipeline")(tiny.ddpm(form.dtype), getattr(diffusers, f"{kind}Scheduler")())
    replaced(pipe, form, unet=tiny.DDPM, latents=False, call={"batch_size": 2})


def stable(form: Form) -> Any:
    return diffusers.StableDiffusionPipeline(
        vae=tiny.kl_vae(form.dtype), text_encoder=None, tokenizer=None, unet=tiny.latent_unet(form.dtype),
        scheduler=diffusers.DDIMScheduler(), safety_checker=None, feature_extractor=None,
        requires_safety_checker=False,
    )  # fmt: skip


def prompts(form: Form, tokens: int = 7, width: int = 24) -> dict[str, Tensor]:
    return {
        "prompt_embeds": drawn(1, tokens, width).to(form.dtype),
        "negative_prompt_embeds": drawn(1, tokens, width, seed=2).to(form.dtype),
    }


@both
@pytest.mark.parametrize("parts", ["unet", "vae", "unet vae"])
def test_text_to_image(parts: str, form: Form) -> None:
    texts = {"unet": tiny.latent(), "vae": tiny.kl()}
    chosen = {name: texts[name] for name in parts.split()}
    replaced(stable(form), form, **chosen, call={**prompts(form), "guidance_scale": 4.0})


@both
def test_text_to_image_with_pooled_text_and_sizes(form: Form) -> None:
    pipe = diffusers.StableDiffusionXLPipeline(
        vae=tiny.kl_vae(form.dtype), text_encoder=None, text_encoder_2=None, tokenizer=None, tokenizer_2=None,
        unet=tiny.sized_unet(form.dtype), scheduler=diffusers.EulerDiscreteScheduler(), add_watermarker=False,
    )  # fmt: skip
    pooled = {
        "pooled_prompt_embeds": drawn(1, 12).to(form.dtype),
        "negative_pooled_prompt_embeds": drawn(1, 12, seed=2).to(form.dtype),
    }
    call = {**prompts(form), **pooled, "original_size": (40, 32), "crops_coords_top_left": (3, 5)}
    replaced(pipe, form, unet=tiny.TEXT_AND_SIZES, vae=tiny.kl(), call=call)


@both
def test_class_to_image(form: Form) -> None:
    pipe = diffusers.DiTPipeline(tiny.dit(form.dtype), tiny.kl_vae(form.dtype), diffusers.DDIMScheduler())
    call = {"class_labels": [3, 500], "guidance_scale": 4.0}
    replaced(pipe, form, transformer=tiny.DIT, vae=tiny.kl(), latents=False, call=call)


@both
def test_text_to_image_with_two_streams(form: Form) -> None:
    pipe = diffusers.StableDiffusion3Pipeline(
        transformer=tiny.joint(form.dtype), scheduler=diffusers.FlowMatchEulerDiscreteScheduler(),
        vae=tiny.kl_vae(form.dtype, latent_channels=16, shift_factor=0.1), text_encoder=None, tokenizer=None,
        text_encoder_2=None, tokenizer_2=None, text_encoder_3=None, tokenizer_3=None,
    )  # fmt: skip
    pooled = {
        "pooled_prompt_embeds": drawn(1, 20).to(form.dtype),
        "negative_pooled_prompt_embeds": drawn(1, 20, seed=2).to(form.dtype),
    }
    replaced(pipe, form, transformer=tiny.mmdit(), vae=tiny.kl(16), call={**prompts(form), **pooled})


@both
@pytest.mark.parametrize("text", [tiny.PACKED, tiny.UNPACKED], ids=["packed", "unpacked"])
def test_text_to_image_with_packed_latents(text: str, form: Form, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the tokens and their coordinates as inputs, and as a network of the image itself."""
    if not form.bundle:
        monkeypatch.setattr(Tensor, "float", Tensor.double)  # rotary positions are turned in `x.float()`
    pipe = diffusers.FluxPipeline(
        transformer=tiny.streams(form.dtype), scheduler=diffusers.FlowMatchEulerDiscreteScheduler(),
        vae=tiny.kl_vae(form.dtype, shift_factor=0.1), text_encoder=None, tokenizer=None, text_encoder_2=None,
        tokenizer_2=None,
    )  # fmt: skip
    call = {
        "prompt_embeds": drawn(1, 5, 24).to(form.dtype), "pooled_prompt_embeds": drawn(1, 12).to(form.dtype),
        "height": 16, "width": 24,
    }  # fmt: skip
    replaced(pipe, form, transformer=text, vae=tiny.kl(), call=call)


def caption(form: Form) -> dict[str, Any]:
    masks = {"prompt_attention_mask": torch.tensor([[1, 1, 1, 1, 0]])}
    masks |= {"negative_prompt_attention_mask": torch.tensor([[1, 0, 0, 0, 0]])}
    return {**prompts(form, tokens=5), **masks, "use_resolution_binning": False}


@both
def test_text_to_image_by_captions(form: Form) -> None:
    pipe = diffusers.PixArtAlphaPipeline(
        tokenizer=None, text_encoder=None, vae=tiny.kl_vae(form.dtype), transformer=tiny.caption_dit(form.dtype),
        scheduler=diffusers.DPMSolverMultistepScheduler(),
    )  # fmt: skip
    # negative_prompt None: its default "" is for a text encoder
    replaced(pipe, form, transformer=tiny.captioned(), vae=tiny.kl(), call={**caption(form), "negative_prompt": None})


def test_a_wrong_epsilon_changes_the_images() -> None:
    form = Form("model", Path())
    pipe = diffusers.DDPMPipeline(tiny.ddpm(form.dtype), diffusers.DDPMScheduler())
    wrong = tiny.DDPM.replace("block: {norm: {groups: 8}}", "block: {norm: {groups: 8, eps: 1e-5}}")
    assert wrong != tiny.DDPM
    with pytest.raises(AssertionError):
        replaced(pipe, form, unet=wrong, latents=False, call={"batch_size": 1})
