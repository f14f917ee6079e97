"""Targets: two in one bundle, narrower sizes, and every fault of one told before anything is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
import pytest

from netspec import api, compiler
from netspec.compiler import Options
from netspec.deployment import deployments
from netspec.errors import ExportError, NetspecError, ShapeError, UnknownName
from netspec.spec import Spec
from netspec.verification import verify

DIT = Path(__file__).parents[2] / "specs" / "tiny" / "dit.yaml"
EDGE = {"exporter": "onnx", "precision": "fp16", "flavour": "portable"}


def spec(**edge: Any) -> Spec:
    return api.load(DIT, set={"targets": {"onnx": {"exporter": "onnx"}, "edge": EDGE | edge}})


def shapes(path: Path) -> list[list[int | str]]:
    graph = onnx.load(path, load_external_data=False).graph
    sizes = [value.type.tensor_type.shape.dim for value in (*graph.input, *graph.output)]
    return [[dim.dim_param or dim.dim_value for dim in each] for each in sizes]


def test_two_targets_in_one_bundle(tmp_path: Path) -> None:
    narrow = {"batch": 1, "height": 16, "width": {"min": 8, "opt": 12, "max": 16}}
    out = compiler.compile(spec(dims=narrow), tmp_path / "out", Options()).folder
    assert sorted(path.relative_to(out).as_posix() for path in out.rglob("*.*")) == [
        "edge/model.onnx", "edge/model.safetensors", "manifest.json", "model.onnx", "model.safetensors", "plan.txt",
        "report.html", "spec.yaml",
    ]  # fmt: skip
    assert shapes(out / "model.onnx")[0] == ["batch", 4, "height", "width"]
    assert shapes(out / "edge" / "model.onnx") == [[1, 4, 16, "width"], [1], [1], [1, 8, 16, "width"]]
    onnx.checker.check_model(out / "edge" / "model.onnx", full_check=True)
    rows = compiler.Manifest.read(out).parity
    whole, edge = ([row for row in rows if row.target == target] for target in ("", "edge"))
    assert {row.dtype for row in edge} == {"fp16"}
    assert len(whole) == 7 and max(row.sizes["width"] for row in whole) == 24
    assert {(row.sizes["batch"], row.sizes["height"]) for row in edge} == {(1, 16)}
    assert {row.sizes["width"] for row in edge} == {8, 10, 12, 16}
    assert (
        api.load(out / "edge" / "model.onnx")
        == api.load(out / "edge" / "model.safetensors")
        == api.load(out / "spec.yaml")
    )
    assert [check.name for check in verify(out)] == ["files", "spec", "onnx", "onnx", "edge", "edge"]


def test_one_of_two(tmp_path: Path) -> None:
    out = compiler.compile(spec(), tmp_path / "out", Options(targets=("edge",), parity=False)).folder
    assert (out / "edge" / "model.onnx").exists() and not (out / "model.onnx").exists()
    assert compiler.compile(spec(), out, Options(targets=("edge",), parity=False)).fresh
    assert not compiler.compile(spec(), out, Options(parity=False)).fresh


@pytest.mark.parametrize(
    ("edge", "kind", "words"),
    [
        ({"precision": "fp8"}, UnknownName, "target `edge`: exporter `onnx` has no precision fp8"),
        ({"precision": {"default": "fp16", "fp8": ["head"]}}, UnknownName, "has no precision fp8"),
        ({"precision": {"default": "fp16", "fp32": ["heat"]}}, UnknownName, "`heat` names no part of the network"),
        ({"flavor": "portable"}, UnknownName, "exporter `onnx` has no option `flavor`"),
        ({"flavour": "fast"}, ExportError, "no flavour `fast`"),
        ({"flavour": 3}, ExportError, "no flavour `3`"),
        ({"flavour": ["portable"]}, ExportError, "no flavour"),
        ({"dims": {"height": 15}}, ShapeError, "height = 15 does not cut into patches of 2"),
        ({"dims": {"height": 64}}, ShapeError, "height up to 64 needs 32 positions"),
    ],
)
def test_what_a_target_cannot_be(tmp_path: Path, edge: dict[str, Any], kind: type[NetspecError], words: str) -> None:
    steps: list[str] = []
    with pytest.raises(kind) as caught:
        compiler.compile(spec(**edge), tmp_path / "out", Options(), lambda step, detail: steps.append(step))
    (found,) = caught.value.diagnostics
    assert words in found.message
    assert steps == ["plan"] and not any(tmp_path.iterdir())
    if kind is not ExportError:
        assert found.span is not None and found.span.source.name == "--set"


def test_every_target_s_fault_at_once() -> None:
    text = {"a": EDGE | {"flavour": "x"}, "b": EDGE | {"precision": "fp8"}, "c": EDGE}
    with pytest.raises(NetspecError) as caught:
        deployments(api.lower(api.load(DIT, set={"targets": text})))
    assert sorted(each.code for each in caught.value.diagnostics) == ["NS214", "NS508"]


def test_a_target_does_not_overwrite() -> None:
    for names in (("onnx", "model.onnx"), ("edge", "Edge"), ("spec.yaml",)):
        loaded = api.load(DIT, set={"targets": {name: {"exporter": "onnx"} for name in names}})
        with pytest.raises(ShapeError, match="NS315"):
            deployments(api.lower(loaded))


def test_an_unknown_target_has_neighbours() -> None:
    with pytest.raises(UnknownName) as caught:
        deployments(api.lower(spec()), ["edges"])
    assert caught.value.diagnostics[0].help == ("did you mean `edge`?", "targets: onnx, edge")


def test_a_target_beyond_the_position_table_is_refused() -> None:
    free = {"dit.pos_embed": "sincos", "expect": {}}
    loaded = api.load(DIT, set=free | {"targets": {"edge": {"exporter": "onnx", "dims": {"height": 64, "width": 64}}}})
    plan = api.lower(loaded)
    with pytest.raises(ShapeError, match="larger than the largest image"):
        deployments(plan)


def test_check_tells_a_target_s_wrong_sizes() -> None:
    found = api.check(DIT, set={"targets": {"edge": {"exporter": "onnx", "dims": {"height": 15}}}})
    assert [each.code for each in found] == ["NS301"]
