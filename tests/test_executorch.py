"""The target `executorch`: run by ExecuTorch's own runtime, equal to PyTorch within what its precision allows."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from netspec import api, compiler, parity
from netspec.errors import ExportError, NetspecError
from tests.exported import SMALL, Exported, exported

pytest.importorskip("executorch", reason="the extra `executorch` is not installed")

from exporters.executorch import ExecutorchExporter  # the package is there
from exporters.executorch.quiet import quiet

TEXT = SMALL % "executorch"


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    return exported(api.loads(TEXT), tmp_path_factory.mktemp("small"))


def test_parity_in_float(small: Exported) -> None:
    rows = small.parity()
    assert [row.tolerance for row in rows] == [1e-3], "one size, one run"
    assert max(row.max_rel for row in rows) < 5e-4
    assert [path.name for path in small.files] == ["model.pte", "ports.json", "executorch.json"]


def test_the_report_says_what_runs_where(small: Exported) -> None:
    report = json.loads(small.files[2].read_text(encoding="utf-8"))
    delegated, portable = report["delegated"], report["portable"]
    total = sum(delegated.values()) + sum(portable.values())
    assert report["delegated_share"] == pytest.approx(sum(delegated.values()) / total, abs=1e-4)
    assert report["delegated_share"] > 0.5
    assert delegated["aten.convolution"] == 1
    assert delegated["aten._softmax"] == 1, "attention stays whole on XNNPACK"
    assert "aten.native_layer_norm" in portable
    assert not {"aten.convolution", "aten.linear", "aten.where.self"} & portable.keys()


@pytest.mark.parametrize(("precision", "bound"), [("int8", 0.1), ("fp16", 0.02)])
def test_parity_in_fewer_bits(precision: str, bound: float, tmp_path: Path) -> None:
    made = exported(api.loads(TEXT.replace("executorch}", f"executorch, precision: {precision}}}")), tmp_path)
    errors = [row.max_rel for row in made.parity()]
    assert 1e-4 < max(errors) < bound, "of so few bits, and not of more"
    report = json.loads(made.files[2].read_text(encoding="utf-8"))
    if precision == "int8":
        layers = len(made.deployment.precision.quantised)
        assert report["delegated"]["quantized_decomposed.dequantize_per_channel"] == layers > 3
        assert not any("quantized" in name for name in report["portable"])


def test_exports_have_equal_bytes(small: Exported, tmp_path: Path) -> None:
    again = ExecutorchExporter().run(small.request, tmp_path)
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in small.files]


def test_sizes_must_be_fixed(tmp_path: Path) -> None:
    text = TEXT.replace("batch: 1", "batch: {min: 1, opt: 2, max: 4}")
    with pytest.raises(NetspecError) as caught:
        compiler.compile(api.loads(text), tmp_path / "out", compiler.Options())
    (found,) = caught.value.diagnostics
    assert found.code == "NS592"
    assert "batch may vary" in found.message
    assert "`dims: {batch: 2}`" in found.help[0]


def test_what_is_no_program_is_told(small: Exported, tmp_path: Path) -> None:
    path = tmp_path / "model.pte"
    (tmp_path / "ports.json").write_bytes(small.files[1].read_bytes())
    path.write_bytes(b"nothing of the kind")
    assert [each.code for each in small.deployment.exporter.ensures(small.request, (path,))] == ["NS591"]
    assert list(small.deployment.exporter.ensures(small.request, small.files)) == []
    with pytest.raises(ExportError) as caught:
        small.deployment.exporter.runner(path)
    assert caught.value.diagnostics[0].code == "NS593"


def test_nothing_is_printed(small: Exported, capfd: pytest.CaptureFixture[str]) -> None:
    runner = small.deployment.exporter.runner(small.files[0])
    inputs = parity.inputs_at(small.deployment.plan, {"batch": 1, "size": 4})
    assert runner(inputs).keys() == {"output"}
    assert capfd.readouterr() == ("", "")


def test_an_error_keeps_what_was_said(capfd: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        os.write(2, b"said by native code")
        raise ValueError("wrong")

    with pytest.raises(ValueError, match="wrong") as caught, quiet():
        fail()
    assert caught.value.__notes__ == ["said by native code"]
    assert capfd.readouterr().err == ""
