"""The scripts in a `tensorrt` folder, against stand-ins of what they talk to."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tests.fake_tensorrt import FakeEngine, cuda_python, engine_module, fake_tensorrt


@pytest.mark.parametrize("name", ["build_engine.py", "run_engine.py"])
def test_a_script_explains_itself_and_says_what_it_lacks(tensorrt_bundle: Path, name: str) -> None:
    script = tensorrt_bundle / "half" / name
    command = [sys.executable, "-I", str(script)]
    shown = subprocess.run([*command, "--help"], capture_output=True, text=True, timeout=60)
    assert shown.returncode == 0 and "usage" in shown.stdout and "--engine" in shown.stdout
    if importlib.util.find_spec("tensorrt") is None:
        failed = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert failed.returncode == 1 and "pip install tensorrt" in failed.stderr
        assert "Traceback" not in failed.stderr


def script(folder: Path, name: str) -> ModuleType:
    """A script of an exported folder as a module."""
    found = importlib.util.spec_from_file_location(name, folder / f"{name}.py")
    assert found is not None and found.loader is not None
    module = importlib.util.module_from_spec(found)
    sys.modules[name] = module  # dataclasses look there
    found.loader.exec_module(module)
    return module


@pytest.fixture
def folder(tensorrt_bundle: Path, tmp_path: Path) -> Path:
    """The float16 target as it was handed to somebody."""
    return Path(shutil.copytree(tensorrt_bundle / "half", tmp_path / "half"))


@pytest.mark.parametrize(("version", "flags"), [("10.3.0", 2), ("11.4.0.106", 0)])
def test_build_engine(folder: Path, monkeypatch: pytest.MonkeyPatch, version: str, flags: int) -> None:
    trt = fake_tensorrt(version)
    monkeypatch.setitem(sys.modules, "tensorrt", trt)
    module = script(folder, "build_engine")
    assert module.main(["--memory", "2GiB", "--refit"]) == 0
    assert (folder / "model.engine").read_bytes() == b"engine"
    assert (folder / "timing.cache").read_bytes() == b"timings"
    profile = json.loads((folder / "profile.json").read_text())
    assert trt.calls == [
        ("network", flags),
        ("parse", "model.onnx"),
        ("limit", "workspace", 2 * 2**30),
        ("flag", "refit"),
        ("cache", b""),
        ("profile", {name: (each["min"], each["opt"], each["max"]) for name, each in profile.items()}),
    ]
    trt.calls.clear()
    assert module.main(["--quiet"]) == 0
    assert ("cache", b"timings") in trt.calls  # what the first build learned
    assert not any(call[0] in ("limit", "flag") for call in trt.calls)


def test_build_engine_tells_what_the_parser_refuses(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", fake_tensorrt("11.4.0", broken=True))
    assert script(folder, "build_engine").main([]) == 1
    assert "Resize `up_0/resize` (node 12): cubic" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "tensorrt", fake_tensorrt("11.4.0", fails=True))
    assert script(folder, "build_engine").main([]) == 1
    assert "no engine was built" in capsys.readouterr().err
    assert not (folder / "model.engine").exists()


def test_build_engine_refuses_a_profile_that_does_not_fit(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", fake_tensorrt("10.3.0"))
    path = folder / "profile.json"
    profile = json.loads(path.read_text())
    path.write_text(json.dumps(profile | {"x": profile["x"] | {"max": [2, 3, 8, 12]}}))
    assert script(folder, "build_engine").main([]) == 1
    assert "`x` is (-1, 4, 8, -1)" in capsys.readouterr().err
    path.write_text(json.dumps({"x": profile["x"]}))
    assert script(folder, "build_engine").main([]) == 1
    assert "other inputs: t, y" in capsys.readouterr().err


def test_old_versions_are_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", fake_tensorrt("8.6.1"))
    assert script(folder, "build_engine").main([]) == 1
    assert "10.3 or newer" in capsys.readouterr().err


@pytest.fixture
def host_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """No GPU but the host's memory, by way of cuda-python."""
    for name, module in cuda_python().items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.fixture(params=["half", "brain"])
def answered(
    request: pytest.FixtureRequest, tensorrt_bundle: Path, tmp_path: Path, host_memory: None
) -> tuple[Path, Any]:
    """A folder, and a way to say how far its engine's answer is off."""
    folder = Path(shutil.copytree(tensorrt_bundle / request.param, tmp_path / "gpu"))
    (folder / "model.engine").write_bytes(b"engine")
    held = load_file(folder / "parity.safetensors")
    kind = {"half": torch.float16, "brain": torch.bfloat16}[request.param]

    def engine(off: float) -> FakeEngine:
        def answer(read: Mapping[str, bytes]) -> Mapping[str, np.ndarray]:
            for name, raw in read.items():  # inputs arrived as they were shipped
                assert raw == held[f"inputs/{name}"].contiguous().view(torch.uint8).numpy().tobytes()
            return {"output": (held["outputs/output"] + off).to(kind).view(torch.int16).numpy()}

        return FakeEngine(folder, answer)

    return folder, engine


def test_run_engine(
    answered: tuple[Path, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, engine = answered
    for off, code, word in ((0.0, 0, "ok"), (5.0, 1, "NO")):
        monkeypatch.setitem(sys.modules, "tensorrt", engine_module(engine(off)))
        assert script(folder, "run_engine").main(["--runs", "2"]) == code
        told = capsys.readouterr().out
        assert "output: max |Δ|" in told and told.rstrip().endswith(word)
        assert "median of 2 runs" in told and "x [2, 4, 8, 10]" in told


def test_run_engine_says_what_is_missing(
    answered: tuple[Path, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, _ = answered
    monkeypatch.setitem(sys.modules, "tensorrt", engine_module(None))
    assert script(folder, "run_engine").main([]) == 1
    assert "engines are for one version and one GPU" in capsys.readouterr().err
    (folder / "model.engine").unlink()
    assert script(folder, "run_engine").main([]) == 1
    assert "build_engine.py writes it" in capsys.readouterr().err
    (folder / "parity.safetensors").unlink()
    assert script(folder, "run_engine").main([]) == 1
    assert "built without weights" in capsys.readouterr().err


def test_run_engine_feeds_polygraphy(folder: Path) -> None:
    (given,) = script(folder, "run_engine").load_data()
    assert {name: (each.dtype, each.shape) for name, each in given.items()} == {
        "x": (np.float16, (2, 4, 8, 10)), "t": (np.float32, (2,)), "y": (np.int64, (2,)),
    }  # fmt: skip


@pytest.mark.skipif(shutil.which("sh") is None, reason="the script is for a POSIX shell")
@pytest.mark.parametrize(("known", "typed"), [("--stronglyTyped", True), ("", False)])
def test_build_engine_sh(folder: Path, tmp_path: Path, known: str, typed: bool) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("trtexec", "polygraphy"):
        text = f'#!/bin/sh\nif [ "$1" = --help ]; then echo "{known}"; exit; fi\nfor word; do echo "$word"; done\n'
        (tools / name).write_text(text)
        (tools / name).chmod(0o755)
    run = lambda *words: subprocess.run(  # noqa: E731
        ["sh", str(folder / "build_engine.sh"), *words], env={"PATH": f"{tools}:{os.environ['PATH']}"},
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    words = run("build", "--verbose").stdout.splitlines()
    assert ("--stronglyTyped" in words) is typed
    assert words[:3] == ["--onnx=model.onnx", "--saveEngine=model.engine", "--timingCacheFile=timing.cache"]
    assert words[-4:] == [
        "--minShapes=x:1x4x8x8,t:1,y:1",
        "--optShapes=x:2x4x8x10,t:2,y:2",
        "--maxShapes=x:2x4x8x12,t:2,y:2",
        "--verbose",
    ]
    words = run("compare").stdout.splitlines()
    assert words[:2] == ["run", "model.onnx"] and "x:[2,4,8,10]" in words and "run_engine.py" in words
    assert run("--help").returncode == 0 and run("nonsense").returncode == 2


def test_bfloat16_is_not_compared_with_onnx_runtime(tensorrt_bundle: Path) -> None:
    done = subprocess.run(
        ["sh", str(tensorrt_bundle / "brain" / "build_engine.sh"), "compare"], capture_output=True, text=True
    )
    assert done.returncode == 2 and "run_engine.py" in done.stderr
