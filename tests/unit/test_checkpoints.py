"""Checkpoints as people have them: shards, folders, wrappers, other networks beside, averages, and hostile files."""

from __future__ import annotations

import argparse
import json
import os
import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from netspec import api, compiler
from netspec.errors import WeightsError
from netspec.graph import Model
from netspec.weights import layouts
from netspec.weights.checkpoint import checkpoint_sha256, open_checkpoint
from netspec.weights.files import sha256_file

SPECS = Path(__file__).parents[2] / "specs" / "tiny"


def model_of(name: str = "unet", seed: int = 0) -> Model:
    return api.build(api.load(SPECS / f"{name}.yaml"), seed=seed)


def foreign(model: Model, layout: str) -> dict[str, Tensor]:
    made = layouts.find(layout).ours_to_foreign(model.plan, model.state_dict())
    return {key: value.clone() for key, value in made}


def below(prefix: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}{key}": value for key, value in state.items()}


def same(one: Model, other: Model) -> bool:
    theirs = other.state_dict()
    return all(torch.equal(value, theirs[key]) for key, value in one.state_dict().items())


def error_of(call: Callable[[], object]) -> WeightsError:
    with pytest.raises(WeightsError) as caught:
        call()
    return caught.value


def code_of(call: Callable[[], object]) -> str:
    return error_of(call).diagnostics[0].code


# Files and folders


def shards(folder: Path, state: Mapping[str, Tensor], ending: str = ".safetensors") -> Path:
    """The state in three files and an index, as transformers and diffusers write it."""
    names = sorted(state)
    where = {}
    for part in range(3):
        file = f"model-0000{part + 1}-of-00003{ending}"
        held = {name: state[name] for name in names[part::3]}
        save_file(held, folder / file) if ending == ".safetensors" else torch.save(held, folder / file)
        where |= dict.fromkeys(held, file)
    index = folder / f"model{ending}.index.json"
    index.write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": where}))
    return index


@pytest.mark.parametrize("ending", [".safetensors", ".bin"])
def test_shards_are_one_checkpoint(tmp_path: Path, ending: str) -> None:
    model = model_of()
    index = shards(tmp_path, foreign(model, "ldm"), ending)
    for path in (index, tmp_path):
        other = model_of(seed=1)
        api.load_weights(other, path)
        assert same(other, model)
    assert "3 shards" in open_checkpoint(index).kind
    before = checkpoint_sha256(index)
    first = tmp_path / f"model-00001-of-00003{ending}"
    first.write_bytes(first.read_bytes() + b" ")
    assert checkpoint_sha256(tmp_path) != before


def test_shards_that_do_not_belong_together(tmp_path: Path) -> None:
    index = shards(tmp_path, foreign(model_of(), "ldm"))
    content = json.loads(index.read_text())
    third = tmp_path / "model-00003-of-00003.safetensors"
    kept = third.read_bytes()
    third.unlink()
    error = error_of(lambda: open_checkpoint(tmp_path))
    assert error.diagnostics[0].code == "NS621"
    assert error.diagnostics[0].message == f"{index} lacks 1 of 3 shards"
    assert error.diagnostics[0].notes == (third.name,)
    save_file({"other.weight": torch.zeros(1)}, third)
    assert "name" in error_of(lambda: open_checkpoint(index)).diagnostics[0].message
    third.write_bytes(kept)
    content["weight_map"].popitem()
    index.write_text(json.dumps(content))
    assert code_of(lambda: open_checkpoint(index)) == "NS621"


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"weight_map": {}}', '{"weight_map": {"a": 1}}', '{"weight_map": {"a": "../x.safetensors"}}',
     '{"weight_map": {"a": "/etc/passwd"}}', '{"weight_map": {"a": "..\\\\x"}}', '{"weight_map": {"a": ""}}',
     '{"weight_map": {"a": "x", "a": "y"}}', "\xff"],
)  # fmt: skip
def test_an_index_that_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "m.safetensors.index.json").write_bytes(text.encode("latin1"))
    assert code_of(lambda: open_checkpoint(tmp_path / "m.safetensors.index.json")) == "NS621"


def test_folders(tmp_path: Path) -> None:
    model, other = model_of(), model_of(seed=1)
    folder = tmp_path / "pipeline" / "unet"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    save_file(foreign(model, "ldm"), folder / "diffusion_pytorch_model.safetensors")
    save_file({"x": torch.zeros(1)}, folder / "diffusion_pytorch_model.fp16.safetensors")
    torch.save({"x": torch.zeros(1)}, folder / "diffusion_pytorch_model.bin")
    api.load_weights(other, folder)
    assert same(other, model)
    error = error_of(lambda: open_checkpoint(tmp_path / "pipeline"))
    assert error.diagnostics[0].help == ("name one of its folders: unet",)
    save_file({"x": torch.zeros(1)}, folder / "another.safetensors")
    assert "several files of weights" in error_of(lambda: open_checkpoint(folder)).diagnostics[0].message
    assert code_of(lambda: open_checkpoint(tmp_path / "absent")) == "NS607"


# Where the network is


def combined(state: Mapping[str, Tensor], start: str = "") -> dict[str, Tensor]:
    """A file of latent diffusion: the network, a text encoder, an autoencoder and a schedule."""
    others = ("cond_stage_model.a.weight", "cond_stage_model.b.weight", "first_stage_model.encoder.w", "betas")
    return below(f"{start}model.diffusion_model.", state) | {f"{start}{name}": torch.zeros(2) for name in others}


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: state,
        lambda state: {"state_dict": state, "epoch": 3, "optimizer": {"state": {0: {"exp_avg": torch.zeros(3)}}}},
        lambda state: {"model": state, "opt": {"lr": 0.1, "moments": {"m": torch.zeros(2)}}, "steps": torch.tensor(1)},
        lambda state: {"state_dict": below("module.", state)},
        lambda state: below("_orig_mod.module.", state),
        lambda state: below("unet.", state) | {"text_encoder.w": torch.zeros(2)},
        combined,
        lambda state: {"state_dict": combined(state, "module.")},
    ],
)
def test_the_network_is_found_whatever_is_around_it(tmp_path: Path, wrap: Callable[[dict[str, Tensor]], Any]) -> None:
    model, other = model_of(), model_of(seed=1)
    torch.save(wrap(foreign(model, "ldm")), tmp_path / "model.pt")
    api.load_weights(other, tmp_path / "model.pt")
    assert same(other, model)


def test_what_is_left_aside_is_said() -> None:
    model = model_of()
    remarks = list(api.load_weights(model, combined(foreign(model, "ldm"))).remarks())
    assert remarks == [
        "layout `ldm`",
        "the network is below `model.diffusion_model.`",
        "left aside: 4 tensors (cond_stage_model 2, first_stage_model 1, betas 1)",
        "keys and shapes could be `ldm:qkv=parts_first`, which reads other rows: "
        "--layout ldm:qkv=parts_first, if it is so",
    ]
    assert list(api.load_weights(model, model.state_dict()).remarks()) == ["layout `netspec`"]


def test_a_denoiser_and_an_autoencoder_in_one_file() -> None:
    unet, vae = model_of("unet"), model_of("autoencoder")
    both = below("model.diffusion_model.", foreign(unet, "ldm")) | below("first_stage_model.", foreign(vae, "kl"))
    for name, model in (("unet", unet), ("autoencoder", vae)):
        other = model_of(name, seed=1)
        api.load_weights(other, both)
        assert same(other, model)


# Averages


def undotted(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What latent diffusion keeps of an average: `diffusion_modeltime_embed0weight`."""
    inside = {f"model_ema.{('diffusion_model.' + key).replace('.', '')}": value for key, value in state.items()}
    return inside | {"model_ema.decay": torch.tensor(0.9999), "model_ema.num_updates": torch.tensor(7)}


WITH_AVERAGE: dict[str, Callable[[dict[str, Tensor], dict[str, Tensor]], Any]] = {
    "latent diffusion": lambda raw, ema: {"state_dict": combined(raw) | undotted(ema)},
    "training script": lambda raw, ema: {"model": raw, "ema": ema, "args": argparse.Namespace(lr=1e-4)},
    "state_dict_ema": lambda raw, ema: {"state_dict": raw, "state_dict_ema": ema},
    "ema_state_dict": lambda raw, ema: {"model_state_dict": raw, "ema_state_dict": below("module.", ema)},
    "prefixes": lambda raw, ema: below("online_model.", raw) | below("ema_model.", ema) | {"step": torch.tensor(1)},
    "beside": lambda raw, ema: raw | {"ema": ema},
}


@pytest.mark.parametrize("form", WITH_AVERAGE)
def test_the_average_is_a_choice(tmp_path: Path, form: str) -> None:
    raw, average = model_of(seed=1), model_of(seed=2)
    path = tmp_path / "model.ckpt"
    torch.save(WITH_AVERAGE[form](foreign(raw, "ldm"), foreign(average, "ldm")), path)
    loaded, averaged = model_of(), model_of()
    reading = api.load_weights(loaded, path)
    assert same(loaded, raw)
    assert any("averages (EMA) are below" in remark and "--ema" in remark for remark in reading.remarks())
    reading = api.load_weights(averaged, path, ema=True)
    assert same(averaged, average)
    assert any("averaged weights (EMA)" in remark for remark in reading.remarks())


def test_an_average_of_the_parameters_alone() -> None:
    """Counts of steps and running statistics are not averaged: they are the raw ones."""
    raw, average, other = (model_of("padded_unet", seed=seed) for seed in (1, 2, 3))
    (first,) = [value for key, value in raw.state_dict().items() if key.endswith("running_mean")][:1]
    first += 1
    parameters = {key for key, _ in average.named_parameters()}
    state = dict(raw.state_dict()) | {f"ema.{key}": average.state_dict()[key] for key in parameters}
    api.load_weights(other, state, ema=True)
    for key, value in other.state_dict().items():
        assert torch.equal(value, (average if key in parameters else raw).state_dict()[key]), key


def test_an_average_that_is_not_there_and_one_that_is_alone() -> None:
    model, other = model_of(), model_of(seed=1)
    state = foreign(model, "ldm")
    error = error_of(lambda: api.load_weights(other, state, ema=True))
    assert error.diagnostics[0].code == "NS622"
    assert error.diagnostics[0].message == "the dictionary holds no averaged weights (EMA)"
    assert error_of(lambda: api.load_weights(other, state, "ldm", ema=True)).diagnostics[0].code == "NS622"
    reading = api.load_weights(other, {"ema": state})
    assert same(other, model)
    assert any("averaged" in remark for remark in reading.remarks())


# Files that are not what they seem


class Hostile:
    """Pickles as a call."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, (str(self.path),))


def test_a_pickle_that_calls_something_is_refused(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    state: Any = foreign(model_of(), "ldm")
    files = {
        "nested.ckpt": {"state_dict": state, "callbacks": {"x": Hostile(ran)}},
        "key.pt": {**state, "hook": Hostile(ran)},
    }
    for name, content in files.items():
        torch.save(content, tmp_path / name)
    (tmp_path / "bare.bin").write_bytes(pickle.dumps(Hostile(ran)))
    for name in files:
        (found,) = error_of(lambda name=name: open_checkpoint(tmp_path / name)).diagnostics
        assert found.code == "NS608"
        assert found.message.endswith("holds more than tensors and plain data, and is not read")
        assert found.notes == (f"it asks for `{os.mkdir.__module__}.mkdir`",)
    assert code_of(lambda: open_checkpoint(tmp_path / "bare.bin")) == "NS608"
    assert not ran.exists()


def test_bookkeeping_of_training_frameworks_is_inert(tmp_path: Path) -> None:
    """What other programs leave beside weights is read as nothing: no class of theirs is imported or called."""
    model, other = model_of(), model_of(seed=1)
    settings = argparse.Namespace(lr=1e-4, path="x", nested={"a": [1, 2]})
    torch.save({"state_dict": foreign(model, "ldm"), "hyper": settings}, tmp_path / "model.ckpt")
    api.load_weights(other, tmp_path / "model.ckpt")
    assert same(other, model)


@pytest.mark.parametrize("name", ["w.safetensors", "w.ckpt", "w.bin"])
def test_a_pointer_is_no_file(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 12345\n")
    assert "git lfs pull" in error_of(lambda: open_checkpoint(tmp_path / name)).diagnostics[0].help[0]


def test_damaged_files(tmp_path: Path) -> None:
    whole = tmp_path / "whole.pt"
    torch.save(foreign(model_of(), "ldm"), whole)
    (tmp_path / "short.pt").write_bytes(whole.read_bytes()[:-1000])
    assert code_of(lambda: open_checkpoint(tmp_path / "short.pt")) == "NS602"
    (tmp_path / "page.ckpt").write_text("<html><body>Access denied</body></html>")
    assert "web page" in error_of(lambda: open_checkpoint(tmp_path / "page.ckpt")).diagnostics[0].help[0]
    torch.save([torch.zeros(3)], tmp_path / "list.pt")
    assert code_of(lambda: open_checkpoint(tmp_path / "list.pt")) == "NS608"
    assert code_of(lambda: open_checkpoint({})) == "NS608"


def header(entries: Mapping[str, Any], data: bytes, length: int | None = None) -> bytes:
    text = json.dumps(entries).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


def tensor(start: int, end: int, shape: list[int]) -> dict[str, Any]:
    return {"dtype": "F32", "shape": shape, "data_offsets": [start, end]}


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (header({"a": tensor(0, 8, [2])}, bytes(8), length=1 << 40), "NS601"),
        (header({"a": tensor(0, 8, [2])}, bytes(8), length=4000), "NS602"),
        (header({"a": tensor(0, 8, [2]), "b": tensor(4, 12, [2])}, bytes(12)), "NS601"),
        (header({"a": tensor(0, 8, [2]), "b": tensor(12, 20, [2])}, bytes(20)), "NS601"),
        (header({"a": tensor(0, 8, [3])}, bytes(8)), "NS601"),
        (header({"a": tensor(0, 80, [20])}, bytes(8)), "NS602"),
        (header({"a": tensor(0, 8, [2])}, bytes(99)), "NS601"),
    ],
)
def test_headers_that_lie(tmp_path: Path, content: bytes, code: str) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes(content)
    assert code_of(lambda: open_checkpoint(path)) == code
    (tmp_path / "m.safetensors.index.json").write_text('{"weight_map": {"a": "m.safetensors"}}')
    assert code_of(lambda: open_checkpoint(tmp_path)) == code


def test_a_file_that_shrinks_while_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    save_file({"a": torch.zeros(1 << 19)}, path)
    opened = open_checkpoint(path)
    path.write_bytes(path.read_bytes()[:1000])
    assert code_of(lambda: opened.fetch("a")) == "NS607"


def test_a_file_is_named_by_its_content(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    save_file({"a": torch.zeros(3)}, path)
    assert checkpoint_sha256(path) == checkpoint_sha256(tmp_path) == sha256_file(path)


# Bundles from them


def test_a_bundle_from_a_checkpoint(tmp_path: Path) -> None:
    """The choices of reading are a part of the recipe: the same bundle is not built twice, another one is."""
    raw, average = model_of(seed=1), model_of(seed=2)
    path = tmp_path / "model.ckpt"
    torch.save(WITH_AVERAGE["training script"](foreign(raw, "ldm"), foreign(average, "ldm")), path)
    spec = api.load(SPECS / "unet.yaml")

    def build(**options: Any) -> compiler.Result:
        given = compiler.Options(weights=str(path), parity=False, **options)
        return compiler.compile(spec, tmp_path / "out", given)

    def holds(model: Model) -> bool:
        found = load_file(tmp_path / "out" / "model.safetensors")
        return all(torch.equal(value, found[key]) for key, value in model.state_dict().items())

    first = build()
    assert not first.fresh
    assert first.remarks[0] == "layout `ldm`"
    assert holds(raw)
    assert build().fresh
    averaged = build(ema=True)
    assert averaged.remarks[1] == "these are averaged weights (EMA), from `ema.`"
    assert holds(average)
    assert not build(layout="ldm:qkv=parts_first").fresh
    assert not holds(raw)


def test_a_bundle_from_shards_and_from_our_own_file(tmp_path: Path) -> None:
    model = model_of(seed=1)
    (tmp_path / "shards").mkdir()
    shards(tmp_path / "shards", foreign(model, "ldm"))
    spec = api.load(SPECS / "unet.yaml")
    options = compiler.Options(weights=str(tmp_path / "shards"), parity=False)
    compiler.compile(spec, tmp_path / "one", options)
    assert compiler.compile(spec, tmp_path / "one", options).fresh
    own = tmp_path / "one" / "model.safetensors"
    result = compiler.compile(spec, tmp_path / "two", compiler.Options(weights=str(own), parity=False))
    assert result.remarks == ()
    assert (tmp_path / "two" / "model.safetensors").read_bytes() == own.read_bytes()
    assert (tmp_path / "two" / "model.safetensors").stat().st_ino != own.stat().st_ino
    assert not (tmp_path / "two" / "model.safetensors").is_symlink()
