"""netspec targets: what every installed exporter says of itself, for people and for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

from exporters.torch_export import AotInductorExporter, TorchExporter
from netspec import cli, target
from netspec.cli import targets

Run = Callable[..., str]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["netspec", "targets", *arguments])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        assert not stopped.value.code
        return capsys.readouterr().out

    return call


class Optioned(TorchExporter):
    """A target of a test.

    speed: how fast,
        in words.
    width, height: of something.
    """

    extra: ClassVar[str] = "nowhere"
    modules: ClassVar[tuple[str, ...]] = ("a_module_that_nobody_has",)

    def __init__(self, speed: str = "high", width: int = 3, height: int | None = None) -> None:
        super().__init__()


def test_every_exporter_is_listed(run: Run) -> None:
    found: list[dict[str, Any]] = json.loads(run("--format", "json"))
    assert [entry["name"] for entry in found] == list(target.names())
    assert all(entry["summary"] for entry in found)
    entries = {entry["name"]: entry for entry in found}
    assert entries["torch_export"]["precisions"] == ["fp32", "fp16", "bf16"]
    assert entries["torch_export"]["same_bytes"] is True
    assert entries["aot_inductor"]["same_bytes"] is False
    assert entries["executorch"]["extra"] == "executorch"
    assert entries["onnx"]["options"]["flavour"]["default"] == "ort-cpu"
    assert entries["onnx"]["cannot_make"] == entries["onnx"]["cannot_run"] == ""


def test_text_says_what_is_missing(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    text = run()
    aot, onnx = (text.split(f"{name}\n")[1].split("\n\n")[0] for name in ("aot_inductor", "onnx"))
    assert "can be made here: no, no C++ compiler `no-such-compiler` is installed" in aot
    assert "can be run here" not in aot
    assert "can be made here: yes\n    can be run here: yes" in onnx
    assert "flavour:" in onnx and "(default ort-cpu)" in onnx


def test_options_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(target, "find", lambda name: Optioned)
    entry = targets.described("optioned")
    assert entry["summary"] == "A target of a test."
    assert entry["options"] == {
        "speed": {"default": "high", "doc": "how fast, in words."},
        "width": {"default": 3, "doc": "of something."},
        "height": {"default": None, "doc": "of something."},
    }
    assert entry["cannot_make"] == "a_module_that_nobody_has is not installed: pip install 'netspec[nowhere]'"
    assert entry["cannot_run"] == entry["cannot_make"]


def test_a_plugin_that_does_not_load_is_no_end(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str) -> type[target.Target]:
        raise ImportError("no module called x")

    monkeypatch.setattr(target, "find", broken)
    assert targets.described("plugin")["cannot_make"] == "cannot be loaded: no module called x"


def test_a_compiler_is_asked_for_where_inductor_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", sys.executable)
    assert AotInductorExporter.missing() == ""
    monkeypatch.delenv("CXX")
    monkeypatch.setattr("exporters.torch_export.exporter.sys", SimpleNamespace(platform="darwin"))
    monkeypatch.setattr("exporters.torch_export.exporter.shutil", SimpleNamespace(which=lambda name: None))
    assert "`clang++`" in AotInductorExporter.missing()
