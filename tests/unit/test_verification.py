"""verify(): one flipped byte anywhere, a truncated, missing or extra file, a graph edited by hand."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import onnx
import pytest

from netspec.bundle import Manifest, file_entries
from netspec.errors import NetspecError, ParityError, WeightsError
from netspec.verification import verify

FILES = ("manifest.json", "model.onnx", "model.safetensors", "plan.txt", "report.html", "spec.yaml")


@pytest.fixture
def out(bundles: dict[str, Path], tmp_path: Path) -> Path:
    """A copy of a bundle, elsewhere and under another name."""
    return Path(shutil.copytree(bundles["dit"], tmp_path / "moved"))


def test_a_copy_elsewhere_passes_and_stays_as_it_is(out: Path) -> None:
    before = {path.name: path.stat().st_mtime_ns for path in out.iterdir()}
    seen = out.stat().st_mtime_ns
    assert [check.result for check in verify(out)][-1].startswith("parity at 7 points")
    assert {path.name: path.stat().st_mtime_ns for path in out.iterdir()} == before
    assert out.stat().st_mtime_ns == seen, "verification writes nothing into the bundle"


@pytest.mark.parametrize("name", FILES)
def test_one_flipped_bit_in_any_file(out: Path, name: str) -> None:
    path = out / name
    content = path.read_bytes()
    for place in (0, 1, len(content) // 3, len(content) // 2, len(content) * 9 // 10, len(content) - 1):
        for bit in (1, 64):
            path.write_bytes(content[:place] + bytes([content[place] ^ bit]) + content[place + 1 :])
            with pytest.raises(WeightsError):
                verify(out, parity=False)
    path.write_bytes(content)
    verify(out, parity=False)


def test_every_byte_of_a_manifest_counts(out: Path) -> None:
    path = out / "manifest.json"
    content = path.read_bytes()
    for place in range(0, len(content), 7):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with pytest.raises(WeightsError):
            verify(out, parity=False)


@pytest.mark.parametrize(
    ("damage", "code"),
    [
        (lambda out: os.truncate(out / "model.safetensors", 100_000), "NS611"),
        (lambda out: os.truncate(out / "model.onnx", 0), "NS611"),
        (lambda out: (out / "plan.txt").unlink(), "NS612"),
        (lambda out: (out / "notes.txt").write_text("mine"), "NS613"),
        (lambda out: (out / "manifest.json").unlink(), "NS614"),
    ],
)
def test_damage(out: Path, damage: Callable[[Path], object], code: str) -> None:
    damage(out)
    with pytest.raises(WeightsError) as caught:
        verify(out)
    assert [each.code for each in caught.value.diagnostics] == [code]


def resigned(out: Path) -> None:
    """The manifest of what is there now, as somebody who covers traces would write it."""
    replace(Manifest.read(out), files=file_entries(out)).write(out)


def test_a_graph_edited_with_its_hash_fails_in_parity(out: Path) -> None:
    model = onnx.load(out / "model.onnx", load_external_data=False)
    node = next(node for node in model.graph.node if node.op_type == "Add")
    node.op_type = "Sub"
    onnx.save(model, out / "model.onnx")
    resigned(out)
    verify(out, parity=False)
    with pytest.raises(ParityError):
        verify(out)


def test_a_graph_that_is_none_is_told(out: Path) -> None:
    (out / "model.onnx").write_bytes(b"no graph")
    resigned(out)
    with pytest.raises(NetspecError) as caught:
        verify(out)
    assert caught.value.diagnostics[0].code == "NS509"


def test_another_spec_is_told(out: Path) -> None:
    text = (out / "spec.yaml").read_text()
    (out / "spec.yaml").write_text(text.replace("dropout: 0.1", "dropout: 0.2"))
    resigned(out)
    with pytest.raises(WeightsError, match="NS618"):
        verify(out)
