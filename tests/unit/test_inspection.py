"""`netspec weights`: what a file is, told from headers; and the two verbs as a shell sees them."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from netspec import api, cli, shipped
from netspec.errors import WeightsError
from netspec.weights import layouts
from netspec.weights.aligned import AlignedLayout, TensorInfo
from netspec.weights.header import read_header
from netspec.weights.inspection import inspect, networks

Run = Callable[..., tuple[int, str, str]]
Shape = tuple[int, ...]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """`run("inspect", "a.safetensors")` in `tmp_path`: exit code, standard output, standard error."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["netspec", "weights", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        printed = capsys.readouterr()
        return int(stopped.value.code or 0), printed.out, printed.err

    return call


def sparse(path: Path, tensors: Iterable[tuple[str, Shape]], dtype: str = "F16") -> Path:
    """A file with that header and holes for numbers: as large as it says, and no block of the disk."""
    layout = AlignedLayout.plan([TensorInfo(name, dtype, shape) for name, shape in tensors], {}, alignment=1)
    with path.open("wb") as file:
        file.write(layout.header)
        file.truncate(layout.size)
    return path


def shapes(
    name: str, layout: str, variant: str | None = None, prefix: str = "", **settings: object
) -> dict[str, Shape]:
    plan = api.lower(api.load(name, variant=variant, set=settings))
    entries = layouts.find(layout).entries(plan)
    return {f"{prefix}{key}": shape for e in entries for key, shape in zip(e.foreign, e.foreign_shapes, strict=True)}


BESIDE = {
    "cond_stage_model.transformer.weight": (49408, 768),
    "model_ema.decay": (),
    **shapes("autoencoder/kl_f8", "kl", prefix="first_stage_model."),
}

FILES: dict[str, tuple[Mapping[str, Shape], str]] = {
    "sd15": (shapes("unet/sd15", "ldm", prefix="model.diffusion_model.") | BESIDE, "F16"),
    "sdxl": (shapes("unet/sdxl", "diffusers:projections=linear"), "BF16"),
    "dit": (shapes("dit/dit_xl_2", "dit", "b-4"), "F32"),
    "flux": (shapes("dit/flux_dev", "flux"), "BF16"),
    "vae": (shapes("autoencoder/kl_f8", "diffusers"), "F32"),
    "near": (shapes("dit/dit_xl_2", "dit", **{"dit.depth": 26, "conditioning.y.classes": 10}), "F32"),
    "unknown": ({"encoder.layers.0.self_attn.weight": (8, 8), "encoder.layers.0.norm.weight": (8,)}, "F32"),
}


@pytest.mark.parametrize("name", FILES)
def test_inspect(name: str, run: Run, tmp_path: Path, golden: Callable[[str, str], None]) -> None:
    tensors, dtype = FILES[name]
    sparse(tmp_path / f"{name}.safetensors", tensors.items(), dtype)
    code, out, err = run("inspect", f"{name}.safetensors")
    assert (code, err) == (0, "")
    golden(f"weights/inspect_{name}.txt", out)


def test_every_shipped_network_is_told_by_its_file() -> None:
    """In the layout that holds it, whatever it is: no two shipped networks are mistaken for each other silently."""
    for network in networks():
        assert str(network).split(" ")[0] in shipped.names()
    fits = inspect(_state("unet/adm", "adm", "cond-256")).fits
    assert fits == ("unet/adm --variant cond-256",)
    assert set(inspect(_state("unet/sd15", "diffusers", "inpainting")).fits) == {"unet/sd15 --variant inpainting"}


def _state(name: str, layout: str, variant: str | None = None) -> dict[str, torch.Tensor]:
    return {key: torch.empty(shape, device="meta") for key, shape in shapes(name, layout, variant).items()}


def test_inspect_in_json_and_of_our_own_file(run: Run, tmp_path: Path) -> None:
    model = api.build(api.load("tiny/unet"), dtype=torch.bfloat16)
    api.save_weights(model, tmp_path / "own.safetensors")
    found = json.loads(run("inspect", "own.safetensors", "--format", "json")[1])
    assert (found["layout"], found["family"], found["embedded_spec"]) == ("netspec", "unet", "tiny-unet")
    assert found["parameters"] == model.plan.cost.params
    assert found["dtypes"] == {"BF16": model.plan.cost.params}
    assert "spec      its own: `tiny-unet`" in run("inspect", "own.safetensors")[1]


def test_inspect_says_what_is_wrong(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").write_text("version https://git-lfs.github.com/spec/v1\n")
    code, out, err = run("inspect", "a.safetensors")
    assert (code, out) == (1, "")
    assert err.startswith("error[NS601]: a.safetensors is not a safetensors file\n")


def test_convert(run: Run, tmp_path: Path) -> None:
    model = api.build(api.load("tiny/unet"))
    state = dict(layouts.find("ldm").ours_to_foreign(model.plan, model.state_dict()))
    torch.save({"state_dict": {f"model.diffusion_model.{k}": v for k, v in state.items()}}, tmp_path / "a.ckpt")
    code, out, err = run("convert", "a.ckpt", "b.safetensors", "--dtype", "fp16")
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "read: layout `ldm`",
        "read: the network is below `state_dict.model.diffusion_model.`",
        "read: keys and shapes could be `ldm:qkv=parts_first`, which reads other rows: "
        "--layout ldm:qkv=parts_first, if it is so",
        f"wrote b.safetensors: layout `netspec`, {len(model.state_dict())} tensors of tiny-unet",
    ]
    assert {value.dtype for value in load_file(tmp_path / "b.safetensors").values()} >= {torch.float16}
    assert run("convert", "b.safetensors", "c.safetensors", "--to", "ldm:qkv=parts_first", "--dtype", "fp32")[0] == 0
    found = load_file(tmp_path / "c.safetensors")
    assert found.keys() == state.keys()
    assert torch.equal(found["out.2.weight"], state["out.2.weight"].half().float())


def test_convert_for_a_network_that_is_not_shipped(run: Run, tmp_path: Path) -> None:
    settings = {"unet.levels[1].multiplier": 3}
    model = api.build(api.load("tiny/unet", set=settings))
    save_file(dict(layouts.find("ldm").ours_to_foreign(model.plan, model.state_dict())), tmp_path / "a.safetensors")
    code, _, err = run("convert", "a.safetensors", "b.safetensors", "--to", "ldm")
    assert code == 1
    assert "error[NS624]: a.safetensors fits no shipped spec" in err
    told = ("--spec", "tiny/unet", "--set", "unet.levels[1].multiplier=3")
    assert run("convert", "a.safetensors", "b.safetensors", "--to", "ldm", *told)[0] == 0
    assert not run("convert", "a.safetensors", "b.safetensors", "--to", "nowhere", *told)[1]


def test_a_name_of_a_shipped_spec_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert api.load("tiny/unet").name == "tiny-unet"
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "unet").write_text(shipped.find("tiny/dit").read_text())  # type: ignore[union-attr]
    assert api.load("tiny/unet").name == "tiny-dit"
    assert shipped.find("../pyproject") is None
    assert shipped.find("tiny/../tiny/unet") is None


def test_a_spec_that_its_file_does_not_fit(tmp_path: Path) -> None:
    model = api.build(api.load("tiny/unet"))
    api.save_weights(model, tmp_path / "own.safetensors")
    state = load_file(tmp_path / "own.safetensors")
    metadata = read_header(tmp_path / "own.safetensors").metadata
    del state["stem.weight"]
    save_file(state, tmp_path / "less.safetensors", metadata=metadata)
    assert inspect(tmp_path / "less.safetensors").remarks == ("its tensors are not those of the spec that it holds",)
    with pytest.raises(WeightsError):
        api.load_weights(model, tmp_path / "less.safetensors")
