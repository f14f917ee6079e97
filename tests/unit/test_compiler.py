"""A build that fails leaves everything as it was; weights from elsewhere; killed at any moment."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from exporters.lowering import table
from exporters.onnx import runtime
from netspec import api, compiler, proof
from netspec.bundle import Manifest
from netspec.compiler import Options
from netspec.errors import ExportError, NetspecError, ParityError, UsageError, WeightsError
from netspec.parity import inputs_at

SPECS = Path(__file__).parents[2] / "specs" / "tiny"
UNET, DIT = SPECS / "unet.yaml", SPECS / "dit.yaml"


def tree(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def home(bundles: dict[str, Path], tmp_path: Path) -> Path:
    """A folder that holds the bundle `unet` and nothing else."""
    shutil.copytree(bundles["unet"], tmp_path / "home" / "unet")
    return tmp_path / "home"


def fails(home: Path, kind: type[NetspecError], call: Callable[[], object]) -> NetspecError:
    """The error of a call that leaves `home` as it was."""
    before = tree(home)
    with pytest.raises(kind) as caught:
        call()
    assert tree(home) == before
    assert len(list(home.iterdir())) == 1, "litter"
    return caught.value


def test_a_wrong_lowering_is_caught_and_named(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def identity(b: object, *args: object, **kwargs: object) -> object:
        return next(a for a in args if not isinstance(a, torch.nn.Module))

    monkeypatch.setitem(table.FUNCTIONS, torch.nn.functional.silu, identity)
    for cls in [cls for cls in table.MODULES if cls.__name__ == "SiLU"]:
        monkeypatch.setitem(table.MODULES, cls, identity)
    error = fails(home, ParityError, lambda: compiler.compile(api.load(UNET), home / "unet", Options(seed=3)))
    (found,) = error.diagnostics
    assert found.code == "NS701"
    assert "from `embed_t` on" in found.message  # the first node with a SiLU
    assert found.span is not None and (found.span.source.name, found.span.line) == (str(UNET), 19)
    assert error.exit_code == 1


def test_a_missing_lowering_is_an_export_error(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(table.MODULES, torch.nn.Conv2d)
    error = fails(home, ExportError, lambda: compiler.compile(api.load(UNET), home / "unet", Options(seed=3)))
    assert error.diagnostics[0].code == "NS501"


@pytest.mark.parametrize("crash", [KeyboardInterrupt, OSError, MemoryError])
def test_a_crash_leaves_no_litter(home: Path, crash: type[BaseException]) -> None:
    def progress(step: str, detail: str) -> None:
        if step == "parity":
            raise crash

    before = tree(home)
    with pytest.raises(crash):
        compiler.compile(api.load(UNET), home / "unet", Options(seed=3), progress)
    assert tree(home) == before


def test_a_folder_of_the_user_s_is_refused(tmp_path: Path) -> None:
    (tmp_path / "home" / "mine").mkdir(parents=True)
    (tmp_path / "home" / "mine" / "thesis.tex").write_text("years")
    for force in (False, True):
        options = Options(force=force, parity=False)
        fails(
            tmp_path / "home", UsageError, lambda o=options: compiler.compile(api.load(DIT), tmp_path / "home/mine", o)
        )


def kept(home: Path) -> str:
    """The weights' recipe of the bundle in `home`, which must be whole."""
    manifest = Manifest.read(home / "unet")
    assert manifest.check_files(home / "unet") == []
    return manifest.recipe["weights"]


BUILD = "from netspec.cli import main; main()"
STEP = """
import os, signal
from netspec import api, compiler
def progress(step, detail):
    if step == {step!r}: os.kill(os.getpid(), signal.SIGKILL)
compiler.compile(api.load({spec!r}), {out!r}, compiler.Options(seed=9), progress)
"""


@pytest.mark.parametrize("step", ["weights", "export", "parity", "manifest"])
def test_killed_at_a_step(home: Path, step: str) -> None:
    before = tree(home / "unet")
    script = STEP.format(step=step, spec=str(UNET), out=str(home / "unet"))
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == -signal.SIGKILL
    assert tree(home / "unet") == before
    compiler.compile(api.load(UNET), home / "unet", Options(seed=9, parity=False))
    assert kept(home) == "random, seed 9"
    assert [path.name for path in home.iterdir()] == ["unet"], "what the dead process left is gone"


def test_killed_at_random_moments(home: Path) -> None:
    dice = random.Random(0)
    command = [sys.executable, "-c", BUILD, "build", str(UNET), "-o", str(home / "unet"), "--no-parity", "--force"]
    for seed in range(3):
        process = subprocess.Popen(
            [*command, "--seed", str(seed + 1)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        time.sleep(dice.uniform(1.2, 2.5))
        process.kill()
        process.wait()
        assert kept(home).startswith("random, seed ")
    compiler.compile(api.load(UNET), home / "unet", Options(seed=99, parity=False))
    assert [path.name for path in home.iterdir()] == ["unet"]


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A bundle of tiny-unet without weights."""
    result = compiler.compile(api.load(UNET), tmp_path / "home" / "bare", Options(weights="none"))
    assert result.skipped == ("all: there are no weights",)
    return result.folder


def test_bind_gives_a_graph_its_weights(bare: Path, bundles: dict[str, Path], tmp_path: Path) -> None:
    graph = (bare / "model.onnx").read_bytes()
    assert graph == (bundles["unet"] / "model.onnx").read_bytes(), "the layout follows from the plan alone"
    aligned = bundles["unet"] / "model.safetensors"
    plain = {key: value for key, value in load_file(aligned).items() if not key.startswith("__pad")}
    save_file(plain, tmp_path / "plain.safetensors")
    for source in (aligned, tmp_path / "plain.safetensors"):
        result = compiler.bind(bare, source)
        assert all(row.passed for row in result.manifest.parity) and len(result.manifest.parity) == 7
        assert (bare / "model.onnx").read_bytes() == graph
        assert (bare / "model.safetensors").read_bytes() == aligned.read_bytes()
    for dtype in (torch.bfloat16, torch.float16):
        half = {key: value.to(dtype) if value.is_floating_point() else value for key, value in plain.items()}
        save_file(half, tmp_path / "half.safetensors")
        assert compiler.bind(bare, tmp_path / "half.safetensors").manifest.parity[0].passed
        got = load_file(bare / "model.safetensors")
        assert all(torch.equal(got[key], value.to(got[key].dtype)) for key, value in half.items())


def test_bind_refuses_what_does_not_fit(home: Path, bundles: dict[str, Path]) -> None:
    other = bundles["dit"] / "model.safetensors"
    error = fails(home, WeightsError, lambda: compiler.bind(home / "unet", other))
    assert {each.code for each in error.diagnostics} == {"NS603", "NS604", "NS605"}
    assert any("unet.levels[0]" in note for note in error.diagnostics[0].notes), "by block, with its place"
    error = fails(home, WeightsError, lambda: compiler.bind(home / "unet", "none"))
    assert error.diagnostics[0].code == "NS607"


def test_bind_refuses_a_changed_graph(home: Path) -> None:
    path = home / "unet" / "model.onnx"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    source = home / "unet" / "model.safetensors"
    assert fails(home, WeightsError, lambda: compiler.bind(home / "unet", source)).diagnostics[0].code == "NS611"


def test_another_layout_s_weights(tmp_path: Path) -> None:
    diffusers = pytest.importorskip("diffusers", reason="the reference is a development dependency")
    twin = diffusers.UNet2DModel(
        in_channels=3, out_channels=3, block_out_channels=(32, 64), layers_per_block=1, norm_num_groups=32,
        norm_eps=1e-6,
        down_block_types=("DownBlock2D", "AttnDownBlock2D"), up_block_types=("AttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=None, downsample_padding=0, flip_sin_to_cos=False, freq_shift=1,
    ).eval()  # fmt: skip
    save_file(twin.state_dict(), tmp_path / "twin.safetensors")
    root = Path(__file__).parents[2]
    spec = api.load(
        root / "specs/unet/ddpm_cifar10.yaml",
        set={
            "unet.base_channels": 32, "unet.levels": [{"multiplier": 1}, {"multiplier": 2, "attention": "full"}],
            "unet.blocks_per_level": 1, "conditioning.t.dim": 32, "expect": {},
        },
    )  # fmt: skip
    options = Options(weights=str(tmp_path / "twin.safetensors"), layout="diffusers")
    compiler.compile(spec, tmp_path / "out", options)
    plan = api.lower(spec)
    inputs = inputs_at(plan, {name: dim.opt for name, dim in spec.dims.items()}, 2)
    (got,) = runtime.run(tmp_path / "out" / "model.onnx", inputs).values()
    with torch.no_grad():
        wanted = twin(*(torch.from_numpy(value) for value in inputs.values())).sample.numpy()
    # float32 sums in another order
    assert np.abs(got - wanted).max() <= 2e-5 * np.abs(wanted).max()


def test_random_weights_never_need_the_whole_model(tmp_path: Path) -> None:
    script = f"""
import resource
from netspec import api, compiler
compiler.compile(api.load({str(UNET)!r}), {str(tmp_path / "small")!r}, compiler.Options(parity=False))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
spec = api.load({str(UNET)!r}, set={{"unet.base_channels": 192, "expect": {{}}}})
compiler.compile(spec, {str(tmp_path / "out")!r}, compiler.Options(parity=False))
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)
"""
    grown = int(subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout)
    size = os.path.getsize(tmp_path / "out" / "model.safetensors")
    assert size > 150e6
    assert grown < size / 2, f"{grown / 1e6:.0f} MB more for {size / 1e6:.0f} MB of weights"


def test_short_memory_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proof, "available", lambda: 500_000)
    result = compiler.compile(api.load(DIT), tmp_path / "out", Options())
    assert result.manifest.parity == ()
    assert result.skipped == ("all: needs 0.0 GB of memory, 0.0 GB are available",)
