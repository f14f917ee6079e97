"""What cannot be translated is refused, in words that say what and why."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import save_file
from test_import_published import DDPM, DIT, FLUX, KL, PIXART, SD1, SD3, TREES

from netspec import render
from netspec.errors import ForeignError
from netspec.importers import importers
from netspec.importers.reading import import_file


def refused(config: Mapping[str, Any], path: Path) -> str:
    """What a person is told, without the folder's name."""
    path.write_text(json.dumps(config, indent=2))
    with pytest.raises(ForeignError) as caught:
        import_file(path)
    return render.render(caught.value.diagnostics).replace(f"{path.parent}/", "")


def test_every_refusal_is_told_at_its_place(tmp_path: Path) -> None:
    config = {
        "_class_name": "UNet2DConditionModel", "time_cond_proj_dim": 256, "class_embed_type": "simple_projection",
        "resnet_time_scale_shift": "ada_group", "wobble": 3, "nothing": None, "off": False,
        "down_block_types": [*["CrossAttnDownBlock2D"] * 3, "SkipDownBlock2D"],
    }  # fmt: skip
    assert (
        refused(config, tmp_path / "config.json")
        == """\
error[NS642]: `down_block_types: ["CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAt…` cannot be said in a spec
 --> config.json:9:3
  |
9 |   "down_block_types": [
  |   ^^^^^^^^^^^^^^^^^^ SkipDownBlock2D has no counterpart

config.json: 1 error
"""
    )
    del config["down_block_types"]
    assert (
        refused(config, tmp_path / "config.json")
        == """\
error[NS642]: `time_cond_proj_dim: 256` cannot be said in a spec
 --> config.json:3:3
  |
3 |   "time_cond_proj_dim": 256,
  |   ^^^^^^^^^^^^^^^^^^^^ a vector (a guidance scale) is projected and added to the timestep's sinusoids

error[NS642]: `class_embed_type: "simple_projection"` cannot be said in a spec
 --> config.json:4:3
  |
4 |   "class_embed_type": "simple_projection",
  |   ^^^^^^^^^^^^^^^^^^ no such embedding here

error[NS642]: `resnet_time_scale_shift: "ada_group"` cannot be said in a spec
 --> config.json:5:3
  |
5 |   "resnet_time_scale_shift": "ada_group",
  |   ^^^^^^^^^^^^^^^^^^^^^^^^^ blocks add the vector, or scale and shift by it

error[NS641]: `wobble` has no counterpart in a spec
 --> config.json:6:3
  |
6 |   "wobble": 3,
  |   ^^^^^^^^ not known here

config.json: 4 errors
"""
    )


REFUSED: list[tuple[dict[str, Any], dict[str, Any], str]] = [  # a config, what is changed, the key that is refused
    (SD1, {"encoder_hid_dim_type": "ip_image_proj", "encoder_hid_dim": 1024}, "encoder_hid_dim_type"),
    (SD1, {"center_input_sample": True}, "center_input_sample"),
    (SD1, {"addition_embed_type": "text"}, "addition_embed_type"),
    (SD1, {"attention_type": "gated"}, "attention_type"),
    (SD1, {"dual_cross_attention": True}, "dual_cross_attention"),
    (SD1, {"time_embedding_type": "fourier"}, "time_embedding_type"),
    (SD1, {"time_embedding_dim": 512}, "time_embedding_dim"),
    (SD1, {"mid_block_type": "UNetMidBlock2DSimpleCrossAttn"}, "mid_block_type"),
    (SD1, {"up_block_types": ["UpBlock2D"] * 4}, "up_block_types"),
    (SD1, {"num_attention_heads": 8}, "num_attention_heads"),
    (SD1, {"cross_attention_dim": [768, 768, 1024, 768]}, "cross_attention_dim"),
    (SD1, {"transformer_layers_per_block": [[1, 2], 1, 1, 1]}, "transformer_layers_per_block"),
    (SD1, {"reverse_transformer_layers_per_block": [1, 1, 1, [1, 2]]}, "reverse_transformer_layers_per_block"),
    (SD1, {"attention_head_dim": [8, 8, 8]}, "attention_head_dim"),
    (SD1, {"act_fn": "mish"}, "act_fn"),
    (DDPM, {"downsample_padding": 2}, "downsample_padding"),
    (DDPM, {"time_embedding_type": "learned", "num_train_timesteps": 1000}, "time_embedding_type"),
    (DDPM, {"attention_head_dim": 96}, "attention_head_dim"),
    (DDPM, {"class_embed_type": "identity"}, "class_embed_type"),
    (DDPM, {"mid_block_scale_factor": 1.4142}, "mid_block_scale_factor"),
    (KL, {"use_post_quant_conv": False}, "use_post_quant_conv"),
    (KL, {"down_block_types": ["DownEncoderBlock2D"] * 3}, "down_block_types"),
    (DIT, {"norm_type": "ada_norm"}, "norm_type"),
    (DIT, {"activation_fn": "geglu"}, "activation_fn"),
    (PIXART, {"norm_elementwise_affine": True}, "norm_elementwise_affine"),
    (PIXART, {"cross_attention_dim": 2048}, "cross_attention_dim"),
    (SD3, {"qk_norm": "l2"}, "qk_norm"),
    (SD3, {"caption_projection_dim": 1152}, "caption_projection_dim"),
    (SD3, {"dual_attention_layers": [30]}, "dual_attention_layers"),
    (FLUX, {"axes_dims_rope": [16, 56]}, "axes_dims_rope"),
    (FLUX, {"patch_size": 2}, "patch_size"),
]  # fmt: skip


@pytest.mark.parametrize(("config", "change", "key"), REFUSED)
def test_a_value_that_a_spec_cannot_say(
    config: dict[str, Any], change: dict[str, Any], key: str, tmp_path: Path
) -> None:
    text = refused({**config, **change}, tmp_path / "config.json")
    assert f'"{key}": ' in text, text
    assert text.startswith(("error[NS642]", "error[NS643]"))


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"conv_resample": True, "dims": 3}, "dims"),
        ({"num_classes": "continuous"}, "num_classes"),
        ({"num_attention_blocks": [1, 1, 2, 2]}, "num_attention_blocks"),
        ({"num_heads_upsample": 4}, "num_heads_upsample"),
        ({"num_heads": 7}, "num_heads"),
        ({"n_embed": 8192}, "n_embed"),
        ({"context_dim": [768, 1024]}, "context_dim"),
        ({"use_temporal_attention": True}, "use_temporal_attention"),
        ({"wobble": 0}, "wobble"),
    ],
)
def test_a_value_of_compvis_that_a_spec_cannot_say(change: dict[str, Any], key: str, tmp_path: Path) -> None:
    content = json.loads(json.dumps(TREES["v1-inference"][0]))
    content["model"]["params"]["unet_config"]["params"].update(change)
    (tmp_path / "model.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(ForeignError) as caught:
        import_file(tmp_path / "model.yaml")
    assert f"model.params.unet_config.params.{key}" in {each.path for each in caught.value.diagnostics}


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("kl-f8", {"give_pre_end": True}),
        ("kl-f8", {"tanh_out": True}),
        ("kl-f8", {"attn_type": "linear"}),
        ("kl-f8", {"double_z": False}),  # the original refuses it, too
        ("vq-f4", {"double_z": True}),
    ],
)
def test_a_value_of_an_autoencoder_that_a_spec_cannot_say(name: str, change: dict[str, Any], tmp_path: Path) -> None:
    content = json.loads(json.dumps(TREES[name][0]))
    content["model"]["params"]["first_stage_config"]["params"]["ddconfig"].update(change)
    (tmp_path / "model.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(ForeignError) as caught:
        import_file(tmp_path / "model.yaml")
    (found,) = caught.value.diagnostics
    assert found.path == f"model.params.first_stage_config.params.ddconfig.{next(iter(change))}"


def told(path: Path) -> str:
    with pytest.raises(ForeignError) as caught:
        import_file(path)
    return render.render(caught.value.diagnostics).replace(f"{path}/", "").replace(f"{path.parent}/", "")


def test_a_file_that_nothing_here_knows(tmp_path: Path) -> None:
    path, known = (
        tmp_path / "config.json",
        ", ".join(sorted(each.cls for each in importers().values() if each.program == "diffusers")),
    )
    path.write_text('{"_class_name": "UNet3DConditionModel"}')
    assert (
        told(path)
        == f"""\
error[NS640]: `UNet3DConditionModel` is no class that netspec knows
 --> config.json:1:17
  |
1 | {{"_class_name": "UNet3DConditionModel"}}
  |                 ^^^^^^^^^^^^^^^^^^^^^^ the class
  = help: did you mean UNet2DConditionModel?
  = help: classes that netspec knows: {known}

config.json: 1 error
"""
    )
    path.write_text('{"_class_name": "FluxPipeline"}')
    assert "import one of its parts: the folder `unet`, `transformer` or `vae` beside it" in told(path)
    path.write_text("{}")
    assert "config.json does not say which class it is for" in told(path)
    (tmp_path / "x.yaml").write_text("model: {target: a.B}")
    assert "x.yaml describes no network that netspec knows" in told(tmp_path / "x.yaml")
    path.unlink()
    (tmp_path / "unet").mkdir()
    (tmp_path / "unet" / "config.json").write_text("{}")
    assert "help: import one of its parts: unet" in told(tmp_path)
    (tmp_path / "unet").rename(tmp_path / "vae")
    (tmp_path / "vae" / "config.json").unlink()
    assert "vae has no config.json" in told(tmp_path / "vae")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("config.json", "[1, 2]", "error[NS640]: config.json holds no settings: a list"),
        ("config.json", "", "error[NS640]: config.json holds no settings: the file is empty"),
        ("config.json", '{"_class_name": "UNetSpatioTemporalConditionModel"}', "help: classes that netspec knows"),
        ("x.yaml", "netspec: 1\nname: x\n", "error[NS640]: x.yaml is a spec already"),
    ],
)
def test_what_is_no_description_of_a_network(name: str, content: str, words: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content)
    text = told(tmp_path / name)
    assert words in text
    assert "did you mean" not in text


def test_weights_of_no_network(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    save_file({f"down.to_q.lora_{part}.weight": torch.zeros(2, 2) for part in ("A", "B")}, path)
    assert "error[NS640]: x.safetensors holds changes to a network (LoRA), not a network" in told(path)
    save_file({"a": torch.zeros(2)}, path, {"netspec.spec": "netspec: 1"})
    assert "error[NS640]: x.safetensors holds its spec already" in told(path)


def test_settings_of_no_sound_network(tmp_path: Path) -> None:
    text = refused({**KL, "norm_num_groups": 7}, tmp_path / "config.json")
    assert (
        text
        == """\
error[NS643]: config.json (diffusers, AutoencoderKL) describes no sound network: 128 channels do not split into 7 groups
  = note: 128 / 7 = 18.2857
  = note: same for 256, 512

1 error
"""
    )
    text = refused({**SD1, "attention_head_dim": "8"}, tmp_path / "config.json")
    assert text.startswith("error[NS643]: config.json has a value that its class would not take: ")
