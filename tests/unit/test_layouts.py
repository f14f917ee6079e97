"""Layouts turn foreign keys into ours and back; files are read whole or refused in words; saving needs no pickle."""

from __future__ import annotations

import json
import pickle
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from netspec import api, graph, planner
from netspec.errors import RegistrationError, WeightsError
from netspec.graph import Model
from netspec.plan import Plan
from netspec.weights import layouts
from netspec.weights.aligned import read_layout
from netspec.weights.layouts import Layout
from netspec.weights.layouts.diffusers import Diffusers
from netspec.weights.layouts.ldm import Ldm
from netspec.weights.layouts.transforms import Fused, Pointwise
from netspec.weights.load import load_weights, save_weights, spec_of

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of other people's imports
    from diffusers import DiTTransformer2DModel, UNet2DConditionModel, UNet2DModel

SPECS = Path(__file__).parents[2] / "specs"
SHIPPED = sorted(path.relative_to(SPECS).with_suffix("").as_posix() for path in SPECS.glob("*/*.yaml"))

UNET = """
netspec: 1
name: small
inputs: {x: [batch, 3, 16, 16], t: [batch], text: [batch, 5, 24]}
output: [batch, 3, 16, 16]
dims: {batch: {min: 1, opt: 2, max: 4}}
conditioning: {t: {embed: sinusoidal, dim: 32}}
unet:
  levels: [{channels: 32, attention: full}, {channels: 64, transformer: 2}]
  blocks_per_level: 1
  mid: {attention: full}
  attention: {num_heads: 4}
  transformer: {num_heads: 4, context: text}
"""
TEXTLESS = UNET.replace(", transformer: 2", "").replace(", text: [batch, 5, 24]", "").replace(", context: text", "")
DIT = """
netspec: 1
name: small-dit
inputs: {x: [batch, 4, 8, 12], t: [batch], y: [batch]}
output: [batch, 4, 8, 12]
dims: {batch: {min: 1, opt: 2, max: 4}}
conditioning: {t: {embed: sinusoidal, dim: 256}, y: {embed: label, classes: 5, dropout: 0.1}}
dit: {patch_size: 2, hidden_size: 32, depth: 2, num_heads: 4}
"""


def plan_of(text: str) -> Plan:
    return planner.lower(api.loads(text))


def model_of(text: str = UNET, seed: int = 0, **settings: Any) -> Model:
    return graph.build(plan_of(text), seed=seed, **settings)


def equal(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def error_of(call: Any) -> WeightsError:
    with pytest.raises(WeightsError) as caught:
        call()
    return caught.value


def attempt(rules: Layout, plan: Plan) -> tuple[str, tuple[layouts.Entry, ...]]:
    """The code of the refusal, or the entries."""
    try:
        return "", rules.entries(plan)
    except WeightsError as error:
        return error.diagnostics[0].code, ()


# Both directions


PUBLISHED = {  # specs of networks that others publish, and the layouts that must hold them
    "dit/dit_xl_2": {"diffusers", "dit"},
    "unet/ddpm_cifar10": {"diffusers", "ldm"},
    "unet/sd15": {"diffusers", "ldm"},
}


@pytest.mark.parametrize("layout", ["netspec", "diffusers", "ldm", "dit"])
@pytest.mark.parametrize("name", SHIPPED)
def test_the_round_trip_of_every_shipped_spec_is_the_identity(name: str, layout: str) -> None:
    plan = planner.lower(api.load(SPECS / f"{name}.yaml"))
    rules = layouts.find(layout)
    refused, entries = attempt(rules, plan)
    assert layout not in PUBLISHED.get(name, set()) | {"netspec"} or not refused
    if refused:
        assert refused == "NS609"
        return
    ours = graph.build(plan, device="meta").state_dict()
    keys = [key for entry in entries for key in entry.ours]
    assert len(set(keys)) == len(keys)
    assert set(keys) == ours.keys()
    foreign = dict(rules.ours_to_foreign(plan, ours))
    computed = {key for entry in entries if not entry.foreign for key in entry.ours}
    back = dict(rules.foreign_to_ours(plan, foreign))
    assert {key: value.shape for key, value in back.items()} == {
        key: value.shape for key, value in ours.items() if key not in computed
    }


@pytest.mark.parametrize(
    ("text", "layout"),
    [
        (TEXTLESS, Ldm()),
        (TEXTLESS, Ldm(qkv="parts_first")),
        (TEXTLESS, layouts.find("adm:qkv=parts_first")),
        (UNET, Ldm(projections="linear")),
        (UNET.replace("{channels: 32, attention: full}", "32"), Diffusers()),
        (UNET.replace("{channels: 32, attention: full}", "32"), Diffusers(projections="linear")),
        (DIT, layouts.find("dit")),
        (DIT, layouts.find("diffusers")),
        (DIT, layouts.find("netspec")),
    ],
    ids=str,
)
def test_values_survive_the_round_trip(text: str, layout: Layout) -> None:
    plan, ours = plan_of(text), model_of(text).state_dict()
    numbered = {key: torch.arange(value.numel()).reshape(value.shape) for key, value in ours.items()}
    back = dict(layout.foreign_to_ours(plan, dict(layout.ours_to_foreign(plan, numbered))))
    assert back
    assert equal(back, {key: value for key, value in numbered.items() if key in back})


def test_transforms_invert_each_other_and_keep_heads_together() -> None:
    q, k, v = (torch.tensor([[10.0 * part + row] for row in range(4)]) for part in (1, 2, 3))  # two heads of two rows
    (fused,) = Fused(axes=1, heads=2).write([q, k, v])
    assert fused.shape == (12, 1, 1)
    assert fused.flatten().tolist() == [10, 11, 20, 21, 30, 31, 12, 13, 22, 23, 32, 33]
    assert all(map(torch.equal, Fused(axes=1, heads=2).read([fused], []), [q, k, v]))
    assert Fused().write([q, k, v])[0].flatten().tolist() == [10, 11, 12, 13, 20, 21, 22, 23, 30, 31, 32, 33]
    assert Pointwise(axes=2).fits((4, 3), (4, 3, 1, 1))
    assert Pointwise(axes=0).fits((4, 3, 1, 1), (4, 3))
    assert not Pointwise(axes=2).fits((4, 3, 3, 3), (4, 3, 1, 1))
    assert not Pointwise(axes=0).fits((3, 4), (4, 3))


# Key lists that we did not write


def shapes(state: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {key: tuple(value.shape) for key, value in state.items()}


def foreign_shapes(name: str, layout: Layout) -> dict[str, tuple[int, ...]]:
    plan = planner.lower(api.load(SPECS / f"{name}.yaml"))
    return shapes(dict(layout.ours_to_foreign(plan, graph.build(plan, device="meta").state_dict())))


def twin_shapes(cls: type[Any], **config: Any) -> dict[str, tuple[int, ...]]:
    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model: nn.Module = cls(**config)
    return shapes(model.state_dict())


def test_stable_diffusion_has_the_keys_of_diffusers() -> None:
    config = {"cross_attention_dim": 768, "attention_head_dim": 8}
    assert foreign_shapes("unet/sd15", Diffusers()) == twin_shapes(UNet2DConditionModel, **config)
    linear = twin_shapes(UNet2DConditionModel, **config, use_linear_projection=True)
    assert foreign_shapes("unet/sd15", Diffusers(projections="linear")) == linear


def test_ddpm_has_the_keys_of_diffusers() -> None:
    twin = twin_shapes(
        UNet2DModel, block_out_channels=(128, 256, 256, 256), attention_head_dim=None,
        down_block_types=("DownBlock2D", "AttnDownBlock2D", "DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
    )  # fmt: skip
    assert foreign_shapes("unet/ddpm_cifar10", Diffusers()) == twin


def test_dit_has_the_keys_of_diffusers() -> None:
    twin = twin_shapes(
        DiTTransformer2DModel, num_attention_heads=16, attention_head_dim=72, in_channels=4, out_channels=8,
        num_layers=28, sample_size=32, num_embeds_ada_norm=1000,
    )  # fmt: skip
    assert foreign_shapes("dit/dit_xl_2", Diffusers()) == twin


@pytest.mark.parametrize(("golden", "name", "layout"), [("dit_xl2_classcond", "dit/dit_xl_2", "dit")])
def test_keys_are_those_of_the_original_code(golden: str, name: str, layout: str) -> None:
    """The golden has fewer blocks: what it has, block by block, is what each of ours has."""
    path = Path(__file__).parents[3] / "shared" / "golden" / golden / "keys.json"
    if not path.exists():
        pytest.skip(f"{path} is absent: goldens lie beside the project, not in it")
    theirs = {key for key, _ in json.loads(path.read_text())}
    ours = foreign_shapes(name, layouts.find(layout)).keys()
    assert {key for key in ours if not key.startswith("blocks.") or int(key.split(".")[1]) < 2} == theirs


# Registration


def test_a_layout_is_registered_once_and_found_by_name() -> None:
    with pytest.raises(RegistrationError, match="registered twice"):
        type("Again", (Layout,), {"__doc__": "Once more."}, name="ldm")
    error = error_of(lambda: layouts.find("difusers"))
    assert error.diagnostics[0].help[0] == "did you mean `diffusers`?"
    assert layouts.find(layout := Ldm(projections="linear")) is layout


def test_a_name_may_carry_choices() -> None:
    assert layouts.find("ldm:qkv=parts_first") == Ldm(qkv="parts_first")
    assert layouts.find("ldm:qkv=heads_first, projections=linear") == Ldm(projections="linear")
    assert layouts.find("diffusers:vector=class_embedding") == Diffusers(vector="class_embedding")


@pytest.mark.parametrize(
    ("text", "message", "help"),
    [
        ("lmd:qkv=parts_first", "there is no layout `lmd`", "did you mean `ldm`?"),
        ("ldm:qvk=parts_first", "layout `ldm` has no choice `qvk`", "did you mean `qkv`?"),
        ("ldm:qkv=part_first", "`qkv` of layout `ldm` cannot be `part_first`", "did you mean `parts_first`?"),
        ("ldm:qkv", "`qkv` of layout `ldm` cannot be ``", "choices of `ldm`: qkv=heads_first|parts_first"),
        ("ldm:", "layout `ldm` has no choice ``", "choices of `ldm`: qkv=heads_first|parts_first"),
        ("netspec:qkv=parts_first", "layout `netspec` has no choice `qkv`", "choices of `netspec`: none"),
    ],
)
def test_a_choice_that_does_not_exist(text: str, message: str, help: str) -> None:
    found = error_of(lambda: layouts.find(text)).diagnostics[0]
    assert (found.code, found.message) == ("NS610", message)
    assert found.help[0].startswith(help)


# Reading


def test_older_names_of_attention_are_read() -> None:
    text = TEXTLESS
    model, other = model_of(text), model_of(text, seed=1)
    words = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    state = dict(layouts.find("diffusers").ours_to_foreign(model.plan, model.state_dict()))
    for new, old in words.items():
        state = {key.replace(f".{new}.", f".{old}."): value for key, value in state.items()}
    load_weights(other, state, "diffusers")
    assert equal(other.state_dict(), model.state_dict())


@pytest.mark.parametrize("prefix", ["", "module.", "model.diffusion_model.", "module.model.diffusion_model."])
@pytest.mark.parametrize("suffix", [".pt", ".ckpt", ".bin", ".pth", ".safetensors"])
def test_files_and_what_wraps_the_denoiser_in_them(tmp_path: Path, suffix: str, prefix: str) -> None:
    model, other = model_of(), model_of(seed=1)
    state = {f"{prefix}{k}": v for k, v in Ldm().ours_to_foreign(model.plan, model.state_dict())}
    if prefix.endswith("model.diffusion_model."):
        outside = prefix.removesuffix("model.diffusion_model.")
        state |= {f"{outside}first_stage_model.conv.weight": torch.zeros(3), f"{outside}betas": torch.zeros(3)}
    path = tmp_path / f"weights{suffix}"
    if suffix == ".safetensors":
        save_file(state, path)
    else:
        torch.save({"state_dict": state, "epoch": 3} if prefix else state, path)
    load_weights(other, path, "ldm")
    assert equal(other.state_dict(), model.state_dict())


def test_projections_are_read_in_either_form() -> None:
    model = model_of()
    for projections in ("conv", "linear"):
        other = model_of(seed=1)
        written = dict(Ldm(projections=projections).ours_to_foreign(model.plan, model.state_dict()))
        load_weights(other, written, "ldm")
        assert equal(other.state_dict(), model.state_dict())


def test_values_take_the_dtype_of_the_model_and_meta_models_get_tensors() -> None:
    model = model_of(DIT)
    written = dict(Diffusers().ours_to_foreign(model.plan, model.state_dict()))
    for device in ("cpu", "meta"):
        half = model_of(DIT, seed=1, dtype=torch.bfloat16, device=device)
        load_weights(half, written, "diffusers")
        state = half.state_dict()
        assert equal(state, {key: value.bfloat16() for key, value in model.state_dict().items()})
        assert all(parameter.requires_grad for parameter in half.parameters())


def test_a_file_that_would_run_code_is_refused(tmp_path: Path) -> None:
    class Hostile:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "ran",))

    for name, payload in (("plain.pt", pickle.dumps(Hostile())), ("empty.ckpt", b""), ("noise.bin", b"\x80\x02 no")):
        (tmp_path / name).write_bytes(payload)
        assert error_of(lambda name=name: load_weights(model_of(), tmp_path / name)).diagnostics[0].code == "NS608"
    torch.save({"state_dict": {"x": Hostile()}}, tmp_path / "nested.pt")
    assert error_of(lambda: load_weights(model_of(), tmp_path / "nested.pt")).diagnostics[0].code == "NS608"
    assert not (tmp_path / "ran").exists()
    assert error_of(lambda: load_weights(model_of(), tmp_path / "absent.pt")).diagnostics[0].code == "NS607"
    assert error_of(lambda: load_weights(model_of(), tmp_path / "a.safetensors")).diagnostics[0].code == "NS607"
    torch.save({"epoch": 3}, tmp_path / "none.pt")
    assert error_of(lambda: load_weights(model_of(), tmp_path / "none.pt")).diagnostics[0].code == "NS608"


# What does not fit


def test_every_mismatch_is_reported_by_block_and_nothing_is_loaded() -> None:
    model, other = model_of(), model_of(seed=1)
    state = dict(Ldm().ours_to_foreign(model.plan, model.state_dict()))
    for leaf in ("weight", "bias"):
        del state[f"input_blocks.1.0.in_layers.2.{leaf}"]
    state["input_blocks.1.0.extra.weight"] = state["output_blocks.9.0.op.weight"] = torch.zeros(3)
    state["middle_block.0.in_layers.2.weight"] = torch.zeros(64, 32, 3, 3)
    state["out.0.weight"] = torch.zeros(32, dtype=torch.int8)
    before = {key: value.clone() for key, value in other.state_dict().items()}
    found = {each.code: each for each in error_of(lambda: load_weights(other, state, "ldm")).diagnostics}
    assert equal(other.state_dict(), before)
    assert found["NS603"].message == "the dictionary lacks 2 tensors of 1 block"
    assert found["NS603"].notes == ("down_0_block_0 = input_blocks.1.0 (unet.levels[0], <string>:9): in_layers.2",)
    assert found["NS604"].notes == (
        "input_blocks.1.0: extra.weight",
        "output_blocks.9: 0.op.weight",
    )
    assert found["NS605"].notes[0].endswith("in_layers.2.weight is (64, 32, 3, 3), expected (64, 64, 3, 3)")
    assert found["NS605"].notes[0].startswith("mid_block_0 = middle_block.0 (unet.mid, <string>:")
    assert found["NS606"].notes[0].endswith("0.weight is I8")


def test_the_wrong_layout_is_recognised_and_no_wall_of_lines() -> None:
    model = model_of(UNET.replace("{channels: 32, attention: full}", "32"))
    state = dict(Diffusers().ours_to_foreign(model.plan, model.state_dict()))
    error = error_of(lambda: load_weights(model, state, "ldm"))
    assert [each.code for each in error.diagnostics] == ["NS603", "NS604"]
    assert error.diagnostics[0].help == ("these keys are those of layout `diffusers`",)
    assert all(len(each.notes) <= 7 for each in error.diagnostics)
    assert re.fullmatch(r"and \d+ more kinds of block", error.diagnostics[0].notes[-1])


def test_copies_that_differ_are_refused() -> None:
    model = model_of(DIT)
    state = {k: v.clone() for k, v in Diffusers().ours_to_foreign(model.plan, model.state_dict())}
    state["transformer_blocks.1.norm1.emb.timestep_embedder.linear_1.weight"] += 1
    before = {key: value.clone() for key, value in model.state_dict().items()}
    assert error_of(lambda: load_weights(model, state, "diffusers")).diagnostics[0].code == "NS620"
    assert equal(model.state_dict(), before)


def test_a_network_without_a_place_in_the_layout() -> None:
    block = UNET.replace("  blocks_per_level", "  block: {type: conv, modulation: add}\n  blocks_per_level")
    error = error_of(lambda: layouts.find("ldm").entries(plan_of(block)))
    assert error.diagnostics[0].message == "layout `ldm` has no place for `down_0_block_0`: block `conv`"


# Writing


@pytest.mark.parametrize("text", [UNET, DIT])
def test_a_lone_file_rebuilds_its_network(tmp_path: Path, text: str) -> None:
    model, path = model_of(text), tmp_path / "model.safetensors"
    save_weights(model, path)
    assert read_layout(path).is_aligned
    assert spec_of(path) == model.spec
    again = graph.build(planner.lower(spec_of(path)), device="meta")
    load_weights(again, path)
    assert equal(again.state_dict(), model.state_dict())
    save_weights(again, tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == path.read_bytes()


def test_a_file_in_another_layout_is_what_that_program_reads(tmp_path: Path) -> None:
    model, path = model_of(DIT), tmp_path / "diffusion_pytorch_model.safetensors"
    save_weights(model, path, "diffusers")
    twin = DiTTransformer2DModel(
        num_attention_heads=4, attention_head_dim=8, in_channels=4, out_channels=4, num_layers=2, sample_size=8,
        num_embeds_ada_norm=5,
    )  # fmt: skip
    twin.load_state_dict(load_file(path), strict=True)
    assert [each.name for each in tmp_path.iterdir()] == [path.name]
    assert error_of(lambda: spec_of(path)).diagnostics[0].code == "NS619"
    nowhere = tmp_path / "no" / "a.safetensors"
    assert error_of(lambda: save_weights(model, nowhere, "dit")).diagnostics[0].code == "NS617"
