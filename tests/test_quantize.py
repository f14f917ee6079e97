"""Quantised targets: scales, samples, Q/DQ by role, kernels that ONNX Runtime finds, and a bound that is held."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from safetensors.torch import load_file, save_file

from exporters.lowering import FLAVOURS
from exporters.onnx import OnnxExporter, runtime
from exporters.quantize import SCHEMES, Settings, Writing, quantise, samples, tolerance
from exporters.quantize.calibration import Watched, reference
from netspec import api, compiler, graph
from netspec.deployment import request_for
from netspec.errors import ExportError
from netspec.precision import assign
from netspec.spec import Precision
from netspec.target import ExportRequest
from netspec.weights import store
from netspec.weights.probe import write_probe
from tests.processors import eight_bits

pytestmark = eight_bits

TINY = Path(__file__).parent.parent / "specs" / "tiny"
SMALL = {"dims": {"batch": {"min": 1, "opt": 2, "max": 2}, "height": 8, "width": 8}}


def least(request: ExportRequest) -> dict[str, int]:
    """The smallest sizes."""
    assert request.plan is not None
    return {name: dim.min for name, dim in request.plan.spec.dims.items()}


def requested(
    folder: Path, name: str, precision: str, base: str = "fp32", overrides: Mapping[str, Any] | None = None, **keys: Any
) -> ExportRequest:
    """A tiny network with weights that let nothing hide, in `folder`."""
    spec = api.load(TINY / f"{name}.yaml", set=keys)
    plan = api.lower(spec)
    model = graph.build(plan, device="meta").eval()
    random, probe = folder / "random.safetensors", folder / "model.safetensors"
    if not probe.exists():
        store.write_random(plan, store.layout_of(plan, model), random, seed=0, progress=lambda text: None)
        write_probe(model, random, probe)
    return replace(request_for(plan, model, assign(model, Precision(precision, overrides or {}), base)), source=probe)


def written(
    request: ExportRequest, scheme: str, flavour: str = "ort-cpu", into: str = "target", **settings: Any
) -> Writing:
    assert request.source is not None
    folder = request.source.parent / into
    folder.mkdir()
    return quantise(request, folder, FLAVOURS[flavour], SCHEMES[scheme], Settings(**settings))


def kernels(file: Path, folder: Path) -> Counter[str]:
    """The operators that ONNX Runtime runs."""
    settings = runtime.options()
    settings.optimized_model_filepath = str(folder / "optimised.onnx")
    onnxruntime.InferenceSession(str(file), settings, providers=["CPUExecutionProvider"])
    nodes = onnx.load(folder / "optimised.onnx", load_external_data=False).graph.node
    return Counter(node.op_type for node in nodes)


@pytest.fixture(scope="session")
def unet(tmp_path_factory: pytest.TempPathFactory) -> tuple[ExportRequest, Writing]:
    """The tiny U-Net in int8 for ONNX Runtime."""
    request = requested(tmp_path_factory.mktemp("unet"), "unet", "int8", **SMALL)
    return request, written(request, "ort-int8")


# The graph


def test_layers_in_few_bits_are_those_of_their_roles(unet: tuple[ExportRequest, Writing]) -> None:
    request, writing = unet
    stored = load_file(writing.files[0].with_name("model.safetensors"))
    assert request.precision is not None
    for path, part in request.precision.parts.items():
        if (key := f"{path}.weight") in stored:
            expected = torch.int8 if part.role in ("conv", "linear") else torch.float32
            assert stored[key].dtype == expected, (path, part.role)
    assert stored["stem.weight"].dtype == stored["head.conv.weight"].dtype == torch.float32
    assert stored["down_0_block_0.conv1.bias"].dtype == torch.int32
    assert request.source is not None
    exact = load_file(request.source)["down_0_block_0.conv1.weight"]
    back = stored["down_0_block_0.conv1.weight"].float()
    back *= stored["down_0_block_0.conv1.weight_scale"][:, None, None, None]
    assert (back - exact).abs().max() < exact.abs().max() / 200


def test_runtime_has_a_kernel_for_every_layer(unet: tuple[ExportRequest, Writing], tmp_path: Path) -> None:
    _, writing = unet
    found = kernels(writing.files[0], tmp_path)
    roles = Counter(row.role for row in writing.report.layers)
    assert found["QLinearConv"] == roles["conv"] and found["QGemm"] == roles["linear"]


def test_layers_that_read_the_same_tokens_share_their_rounding(unet: tuple[ExportRequest, Writing]) -> None:
    nodes = onnx.load(unet[1].files[0], load_external_data=False).graph.node
    readers = Counter(node.input[0] for node in nodes if node.op_type == "Gemm")
    assert max(readers.values()) >= 3  # queries, keys and values
    unused = {name for node in nodes for name in node.output} - {name for node in nodes for name in node.input}
    assert unused == {"output"}


def test_report_is_what_the_files_do(unet: tuple[ExportRequest, Writing]) -> None:
    """Decibels, of outputs and of blocks, against our own sums over both graphs."""
    request, writing = unet
    _, held = samples.chosen(request, None)
    assert request.source is not None and request.plan is not None
    names = ["output", "mid_block_0"]
    exact = Watched(reference(request), request.source.parent, names)
    wanted = [exact(sample, names) for sample in held]
    run = runtime.Runner(writing.files[0])
    for name in names:
        got = [run(sample, names)[name] for sample in held]
        signal = sum(float((each[name].astype(np.float64) ** 2).sum()) for each in wanted)
        noise = sum(float(((a[name].astype(np.float64) - b) ** 2).sum()) for a, b in zip(wanted, got, strict=True))
        reported = {**writing.report.outputs, **writing.report.blocks}[name]
        assert reported == pytest.approx(10 * np.log10(signal / noise), abs=0.3)
    assert writing.report.blocks["stem"] > 100 > writing.report.blocks["mid_block_0"] > writing.report.outputs["output"]
    data = json.loads(writing.files[1].with_name("quantization.json").read_text(encoding="utf-8"))
    assert data["outputs"] == dict(writing.report.outputs) and data["bound"] == 20
    assert "mid_block_0" in writing.files[2].with_name("quantization.txt").read_text(encoding="utf-8")


def test_same_bytes_twice(unet: tuple[ExportRequest, Writing]) -> None:
    request, writing = unet
    again = written(request, "ort-int8", into="again")
    for one, other in zip((*writing.files, writing.files[0].with_name("model.safetensors")),
                          (*again.files, again.files[0].with_name("model.safetensors")), strict=True):  # fmt: skip
        assert one.read_bytes() == other.read_bytes(), one.name


def test_a_layer_with_an_outlier_stays_in_float(tmp_path: Path) -> None:
    """One channel a thousand times larger, and weights that take it back: nothing changes in float, but the steps of
    such an activation are too coarse for all other channels."""
    request = requested(tmp_path, "dit", "int8", **{"dims.batch": 2})
    assert request.source is not None
    weights = load_file(request.source)
    broken = "block_1.mlp_out"
    weights["block_1.mlp_in.bias"][0] = 3000.0
    weights[f"{broken}.weight"][:, 0] *= 1e-3
    save_file(weights, request.source, {"format": "pt"})
    plain = written(request, "ort-int8", into="plain", sqnr=3)
    assert not [row for row in plain.report.layers if row.why]
    bounded = written(request, "ort-int8", into="bounded", sqnr=25)
    kept = {row.path: row for row in bounded.report.layers if row.why}
    assert plain.report.outputs["output"] < 25 <= bounded.report.outputs["output"]
    assert broken in kept and len(kept) < len(bounded.report.layers) / 2
    assert kept[broken].output == min(row.output for row in bounded.report.layers if row.output is not None)
    assert [count for count, _ in bounded.report.tried] == sorted({n for n, _ in bounded.report.tried}, reverse=True)
    stored = load_file(bounded.files[0].with_name("model.safetensors"))
    assert stored[f"{broken}.weight"].dtype == torch.float32


def test_a_bound_that_cannot_be_held(tmp_path: Path) -> None:
    request = requested(tmp_path, "dit", "int4", **{"dims.batch": 2})
    with pytest.raises(ExportError) as caught:
        written(request, "ort-blocks", sqnr=90)
    (found,) = caught.value.diagnostics
    assert found.code == "NS562" and found.notes[0].split()[0] == "12"


def test_nothing_to_quantise(tmp_path: Path) -> None:
    request = requested(tmp_path, "dit", "int8", overrides={"fp32": ("block_*",)}, **{"dims.batch": 2})
    with pytest.raises(ExportError) as caught:
        written(request, "ort-int8")
    assert caught.value.diagnostics[0].code == "NS563"


# Other schemes


@pytest.mark.parametrize(("scheme", "flavour"), [("ort-blocks", "ort-cpu"), ("blocks", "portable")])
@pytest.mark.parametrize(("precision", "least"), [("int8", 40), ("int4", 20)])
def test_weights_alone(tmp_path: Path, scheme: str, flavour: str, precision: str, least: float) -> None:
    request = requested(tmp_path, "dit", precision, **{"dims.batch": 2})
    writing = written(request, scheme, flavour)
    assert writing.report.outputs["output"] >= least
    onnx.checker.check_model(writing.files[0], full_check=True)
    found = Counter(node.op_type for node in onnx.load(writing.files[0], load_external_data=False).graph.node)
    assert found["MatMulNBits" if scheme == "ort-blocks" else "DequantizeLinear"] == 12
    ratio = writing.files[0].with_name("model.safetensors").stat().st_size / request.source.stat().st_size  # type: ignore[union-attr]
    assert ratio < 0.8


@pytest.mark.parametrize(("precision", "base"), [("int8", "fp16"), ("fp8", "fp16"), ("fp8", "bf16")])
def test_schemes_without_zero_points(tmp_path: Path, precision: str, base: str) -> None:
    request = requested(tmp_path, "unet", precision, base, **SMALL)
    writing = written(request, f"trt-{precision}", "tensorrt", sqnr=15)
    onnx.checker.check_model(writing.files[0], full_check=True)
    model = onnx.load(writing.files[0])
    held = {tensor.name: tensor for tensor in model.graph.initializer}
    types = {"fp16": onnx.TensorProto.FLOAT16, "bf16": onnx.TensorProto.BFLOAT16}
    kinds = {"int8": onnx.TensorProto.INT8, "fp8": onnx.TensorProto.FLOAT8E4M3FN}
    pairs = [node for node in model.graph.node if node.op_type in ("QuantizeLinear", "DequantizeLinear")]
    assert {held[node.input[1]].data_type for node in pairs} == {types[base]}
    zeros = [held[node.input[2]] for node in pairs if len(node.input) > 2]
    assert {zero.data_type for zero in zeros} == {kinds[precision]}
    assert all(not any(zero.raw_data) for zero in zeros)
    assert not [name for name in held if name.endswith(".bias_scale")]


def test_tied_layers_share_one_range(tmp_path: Path) -> None:
    request = requested(tmp_path, "tied_unet", "int8")
    writing = written(request, "ort-int8")
    assert writing.report.outputs["output"] >= 20


# The user's own inputs


def stacked(request: ExportRequest, count: int = 3) -> dict[str, np.ndarray]:
    assert request.plan is not None
    made = list(samples.made(request.plan, least(request) | {"batch": 2}, count))
    return {name: np.stack([sample[name] for sample in made]) for name in made[0]}


@pytest.mark.parametrize("suffix", ["npz", "safetensors"])
def test_calibration_file(tmp_path: Path, suffix: str) -> None:
    request = requested(tmp_path, "dit", "int8", **{"dims.batch": 2})
    arrays, file = stacked(request), tmp_path / f"own.{suffix}"
    if suffix == "npz":
        np.savez(file, **arrays)  # type: ignore[arg-type]  # numpy's stub forgets other keywords
    else:
        save_file({name: torch.from_numpy(array) for name, array in arrays.items()}, file)
    writing = written(request, "ort-int8", calibration=str(file))
    assert writing.report.calibration == {"samples": 2, "held_out": 1, "source": f"own.{suffix}"}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda a: a.pop("t"), "no array `t`"),
        (lambda a: a.update(x=a["x"][0]), "it needs [samples, batch, 4"),
        (lambda a: a.update(x=a["x"][:, :, :3]), "4 is 4, not 3"),
        (lambda a: a.update(t=a["t"][:1]), "other inputs have more"),
        (lambda a: a.update(t=a["t"][:, :1]), "batch is 2, not 1"),
        (
            lambda a: a.update(x=np.repeat(a["x"], 9, 1), t=np.repeat(a["t"], 9, 1), y=np.repeat(a["y"], 9, 1)),
            "outside",
        ),
        (lambda a: a["x"].__setitem__((0, 0), np.nan), "not finite"),
    ],
)
def test_calibration_file_that_does_not_fit(tmp_path: Path, change: Any, words: str) -> None:
    request = requested(tmp_path, "dit", "int8")
    arrays = stacked(request)
    change(arrays)
    np.savez(tmp_path / "own.npz", **arrays)
    with pytest.raises(ExportError) as caught:
        samples.chosen(request, str(tmp_path / "own.npz"))
    assert {each.code for each in caught.value.diagnostics} == {"NS560"}
    assert any(words in each.message for each in caught.value.diagnostics), caught.value.diagnostics


@pytest.mark.parametrize("suffix", ["npz", "safetensors"])
def test_calibration_file_that_is_none(tmp_path: Path, suffix: str) -> None:
    request = requested(tmp_path, "dit", "int8")
    broken = tmp_path / f"broken.{suffix}"
    broken.write_bytes(b"nothing of the kind")
    for file in (broken, tmp_path / f"absent.{suffix}"):
        with pytest.raises(ExportError) as caught:
            samples.chosen(request, str(file))
        assert caught.value.diagnostics[0].code == "NS560"


# From a spec


def test_a_spec_s_targets(tmp_path: Path) -> None:
    small = {"exporter": "onnx", "precision": "int8", "dims": {"batch": 2}}
    targets = {
        "small": small,
        "edge": small | {"transforms": ["linear_as_conv"]},
        "four": {"exporter": "onnx", "precision": {"default": "int4", "fp32": ["block_0"]}},
    }
    spec = api.load(TINY / "dit.yaml", set={"targets": targets})
    result = compiler.compile(spec, tmp_path / "bundle", compiler.Options())
    rows = {row.target: row for row in result.manifest.parity}
    assert rows["small"].tolerance == tolerance(Settings()) and all(row.passed for row in result.manifest.parity)
    assert rows["four"].tolerance > rows["small"].tolerance
    assert kernels(tmp_path / "bundle" / "small" / "model.onnx", tmp_path)["QGemm"] == 12
    assert kernels(tmp_path / "bundle" / "edge" / "model.onnx", tmp_path)["QLinearConv"] == 12
    assert {
        f"small/{name}" for name in ("model.onnx", "model.safetensors", "quantization.json", "quantization.txt")
    } <= (set(result.manifest.files))
    data = json.loads((tmp_path / "bundle" / "four" / "quantization.json").read_text(encoding="utf-8"))
    assert all(path.startswith("block_1") for path in data["layers"])


def test_few_bits_need_weights(tmp_path: Path) -> None:
    spec = api.load(TINY / "dit.yaml", set={"targets": {"small": {"exporter": "onnx", "precision": "int8"}}})
    with pytest.raises(ExportError) as caught:
        compiler.compile(spec, tmp_path / "bundle", compiler.Options(weights="none"))
    assert caught.value.diagnostics[0].code == "NS511"


def test_four_bits_beside_eight_are_of_weights_alone(tmp_path: Path) -> None:
    request = requested(tmp_path, "dit", "int8", overrides={"int4": ("*.mlp_*",)}, **{"dims.batch": 2})
    assert [each.code for each in OnnxExporter().requires(request)] == ["NS561"]
    exporter = OnnxExporter(weights_only=True)
    assert not list(exporter.requires(request))
    halves = requested(tmp_path, "dit", "fp16", overrides={"int8": ("*.mlp_*",)}, base="fp16")
    assert [each.code for each in exporter.requires(halves)] == ["NS561"]
    (tmp_path / "target").mkdir()
    exporter.run(request, tmp_path / "target")
    nodes = onnx.load(tmp_path / "target" / "model.onnx", load_external_data=False).graph.node
    bits = Counter(a.i for node in nodes if node.op_type == "MatMulNBits" for a in node.attribute if a.name == "bits")
    assert set(bits) == {4, 8}
