"""The targets `torch_export` and `aot_inductor`: equal to PyTorch at every size, with the network's own keys."""

from __future__ import annotations

import json
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from exporters.torch_export import AotInductorExporter, TorchExporter
from exporters.torch_export.seam import seam
from netspec import api, compiler, parity
from netspec.bench.engine import named
from netspec.embedded import SPEC_KEY
from netspec.errors import ExportError
from netspec.spec import Spec
from netspec.verification import verify
from tests.exported import SMALL, Exported, exported

TINY = Path(__file__).parent.parent / "specs" / "tiny"


def spec(name: str, **edge: Any) -> Spec:
    return api.load(TINY / f"{name}.yaml", set={"targets": {"edge": {"exporter": "torch_export"} | edge}})


@pytest.fixture(scope="module")
def dit(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    precision = {"default": "fp16", "fp32": ["block_0.attn.q", "block_1"]}
    return exported(spec("dit", precision=precision), tmp_path_factory.mktemp("dit"))


def test_a_bundle_with_a_program(tmp_path: Path) -> None:
    out = compiler.compile(spec("dit"), tmp_path / "out", compiler.Options()).folder
    assert sorted(path.name for path in (out / "edge").iterdir()) == ["model.pt2", "ports.json"]
    rows = compiler.Manifest.read(out).parity
    assert {row.sizes["width"] for row in rows} == {8, 10, 12, 24}
    assert max(row.max_rel for row in rows) < 1e-6, "the same operations in the same order"
    checks = [check.result for check in verify(out, parity=False)]
    assert "edge/model.pt2 is valid" in checks


@pytest.mark.parametrize(
    ("name", "edge"),
    [
        ("unet", {"precision": "bf16", "dims": {"batch": 1, "height": 8}}),
        ("autoencoder", {"precision": "fp16", "outputs": ["decoded"]}),
        ("mmdit", {"precision": "fp16", "dims": {"batch": 1, "tokens": 5, "height": 16}}),
    ],
)
def test_parity_and_keys(name: str, edge: dict[str, Any], tmp_path: Path) -> None:
    made = exported(spec(name, **edge), tmp_path)
    rows = made.parity()
    assert {tuple(row.sizes.values()) for row in rows} == {
        tuple(point.sizes.values()) for point in parity.points(made.deployment.plan)
    }
    program = torch.export.load(made.files[0])
    precision, network = made.deployment.precision, made.deployment.model.state_dict()
    assert {key: tensor.dtype for key, tensor in program.state_dict.items()} == {
        key: precision.stored(key, tensor) for key, tensor in network.items()
    }


def test_every_part_computes_in_its_precision(dit: Exported) -> None:
    assert max(row.max_rel for row in dit.parity()) < 5e-3
    program = torch.export.load(dit.files[0])
    assert program.state_dict["block_0.attn.q.weight"].dtype == torch.float32
    products = [node for node in program.graph.nodes if node.target is torch.ops.aten.linear.default]
    precision, seen = dit.deployment.precision, set()
    for node in products:
        path = list(node.meta["nn_module_stack"].values())[-1][0]
        assert node.meta["val"].dtype == precision.float_at(path), path
        seen.add(node.meta["val"].dtype)
    assert seen == {torch.float16, torch.float32}
    output = program.graph.output_node().args[0][0]
    assert output.meta["val"].dtype == torch.float16


def test_values_inside_can_be_asked_for(dit: Exported) -> None:
    plan = dit.deployment.plan
    dit.parity()  # fills the model
    inputs = parity.inputs_at(plan, {"batch": 1, "height": 8, "width": 8})
    runner = dit.deployment.exporter.runner(dit.files[0])
    errors = {node.name: error for node, error in parity.node_errors(plan, dit.deployment.model, runner, inputs)}
    assert errors.keys() == {node.name for node in plan}
    assert 0 < max(errors.values()) < 5e-3
    assert "block_0" not in runner(inputs)


def test_exports_have_equal_bytes(dit: Exported, tmp_path: Path) -> None:
    again = TorchExporter().run(dit.request, tmp_path)
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in dit.files]
    with zipfile.ZipFile(dit.files[0]) as archive:
        (model,) = (archive.read(name) for name in archive.namelist() if name.endswith("models/model.json"))
    assert b"site-packages" not in model and str(Path.cwd()).encode() not in model
    extra: dict[str, str] = {SPEC_KEY: ""}
    torch.export.load(dit.files[0], extra_files=extra)
    assert api.loads(extra[SPEC_KEY]) == dit.deployment.model.spec


def test_other_weights_need_no_second_trace(dit: Exported, tmp_path: Path) -> None:
    exporter = dit.deployment.exporter
    assert isinstance(exporter, TorchExporter)
    traced = exporter.program(dit.request)
    before = traced.state_dict["head.linear.weight"]
    assert dit.request.source is not None
    other = replace(dit.request, source=dit.request.source.with_name("random.safetensors"))
    assert exporter.program(other) is traced
    after = traced.state_dict["head.linear.weight"]
    assert after.dtype == before.dtype
    assert not torch.equal(after, before)


def test_a_compiled_package(tmp_path: Path) -> None:
    made = exported(api.loads(SMALL % "aot_inductor"), tmp_path)
    (row, *_) = made.parity()
    assert row.max_rel < 1e-5
    assert json.loads((made.folder / "ports.json").read_text())["outputs"][0]["shape"] == [1, 2, 4, 4]


def test_no_compiler_is_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(ExportError) as caught:
        compiler.compile(api.loads(SMALL % "aot_inductor"), tmp_path / "out", compiler.Options())
    (found,) = caught.value.diagnostics
    assert found.code == "NS510"
    assert "no C++ compiler `no-such-compiler` is installed" in found.message


def test_no_weights_no_program(tmp_path: Path) -> None:
    with pytest.raises(ExportError) as caught:
        compiler.compile(spec("dit"), tmp_path / "out", compiler.Options(weights="none"))
    assert [each.code for each in caught.value.diagnostics] == ["NS511"]


@pytest.mark.parametrize(("exporter", "code"), [(TorchExporter, "NS590"), (AotInductorExporter, "NS591")])
def test_another_file_is_found(exporter: type[TorchExporter], code: str, dit: Exported, tmp_path: Path) -> None:
    path = tmp_path / "model.pt2"
    path.write_bytes(b"no archive")
    assert [each.code for each in exporter().ensures(dit.request, (path,))] == [code]
    assert list(exporter().ensures(dit.request, dit.files)) == []


def test_errors_of_torch_are_told() -> None:
    with pytest.raises(ExportError) as caught, seam("compiling the program"):
        torch.ones(2) + torch.ones(3)
    (found,) = caught.value.diagnostics
    assert found.code == "NS594"
    assert found.message.startswith("compiling the program failed: RuntimeError: The size of tensor a (2)")


def test_it_can_be_timed(dit: Exported) -> None:
    inputs = parity.inputs_at(dit.deployment.plan, {"batch": 1, "height": 8, "width": 8})
    engine = named(TorchExporter.engine)(dit.files[0], threads=1)
    made = engine.prepare(inputs)()
    wanted = dit.deployment.exporter.runner(dit.files[0])(inputs)["output"]
    assert isinstance(made, torch.Tensor) and np.array_equal(made.float().numpy(), wanted)
