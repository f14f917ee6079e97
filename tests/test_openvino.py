"""The openvino target: numbers against PyTorch in every precision, int8 within its bound, bytes, names, sizes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

ov = pytest.importorskip("openvino", reason="the extra `openvino` is not installed")
pytest.importorskip("nncf", reason="the extra `openvino` is not installed")

from openvino import opset13 as ops  # noqa: E402

from exporters.openvino import OpenVINOExporter, upsampling  # noqa: E402
from exporters.openvino.engine import OpenVINOEngine  # noqa: E402
from exporters.openvino.runtime import IRRunner  # noqa: E402
from netspec import api, compiler, graph, parity, verification  # noqa: E402
from netspec.errors import ExportError  # noqa: E402
from netspec.target import ExportRequest  # noqa: E402
from netspec.weights import store  # noqa: E402
from tests.exported import requested as made  # noqa: E402
from tests.processors import eight_bits  # noqa: E402

TINY = Path(__file__).parent.parent / "specs" / "tiny"
SIZES = {"batch": 2, "height": 16, "width": 24}
SMALL = """
netspec: 1
name: small
inputs: {x: [batch, 3, size, size], t: [batch]}
output: [batch, 3, size, size]
dims: {batch: 2, size: 8}
conditioning: {t: {embed: sinusoidal, dim: 16}}
unet:
  base_channels: 16
  levels: [{multiplier: 1}, {multiplier: 1}]
  blocks_per_level: 1
  block: {norm: {groups: 4}}
  mid: {blocks: 1, attention: none}
  head: {norm: {groups: 4}}
targets: {edge: {exporter: openvino, precision: int8}}
"""

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of NNCF's parts to each other
DIT = """
dit: {patch_size: 2, hidden_size: 32, depth: 1, num_heads: 2}
targets: {edge: {exporter: openvino, precision: int8, sqnr: 15}}
"""


def requested(folder: Path, name: str, precision: str = "fp32", **keys: Any) -> ExportRequest:
    """A tiny network with weights that let nothing hide, in `folder`."""
    target = {"exporter": "openvino", "precision": precision}
    return made(api.load(TINY / f"{name}.yaml", set={"targets": {"edge": target}, **keys}), folder)[1]


def exported(request: ExportRequest, folder: Path, **options: Any) -> Path:
    folder.mkdir()
    return OpenVINOExporter(**options).run(request, folder)[0]


@pytest.fixture(scope="module")
def unet(tmp_path_factory: pytest.TempPathFactory) -> ExportRequest:
    return requested(tmp_path_factory.mktemp("unet"), "unet")


@pytest.fixture(scope="module")
def whole(unet: ExportRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny U-Net in float32."""
    return exported(unet, tmp_path_factory.mktemp("ir") / "fp32")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> ExportRequest:
    """A network to quantise in a second."""
    folder = tmp_path_factory.mktemp("small")
    (folder / "small.yaml").write_text(SMALL, encoding="utf-8")
    return made(api.load(folder / "small.yaml"), folder)[1]


@pytest.fixture(scope="module")
def int8(small: ExportRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return exported(small, tmp_path_factory.mktemp("int8") / "first")


def report_of(path: Path) -> dict[str, Any]:
    report: dict[str, Any] = json.loads((path.parent / "quantization.json").read_text(encoding="utf-8"))
    return report


# How far weights of 24, 11 and 8 binary digits let the outputs be.
ERRORS = {"fp32": (0.0, 1e-5), "fp16": (1e-4, 5e-3), "bf16": (1e-3, 4e-2)}


@pytest.mark.parametrize(
    ("name", "precision"),
    [("unet", "bf16"), ("dit", "fp16"), ("autoencoder", "fp32"), ("parallel_dit", "fp32")],
)
def test_every_float_gives_pytorchs_numbers_at_every_size(name: str, precision: str, tmp_path: Path) -> None:
    targets = {"cpu": {"exporter": "openvino", "precision": precision}}
    spec = api.load(TINY / f"{name}.yaml", set={"targets": targets})
    rows = compiler.compile(spec, tmp_path / "b", compiler.Options()).manifest.parity
    assert len(rows) >= 7
    least, most = ERRORS[precision]
    assert least <= max(row.max_rel for row in rows) < most
    checks = verification.verify(tmp_path / "b", parity=False)
    assert "cpu/model.xml is valid" in {check.result for check in checks}


def test_halves_take_half_the_room(unet: ExportRequest, whole: Path, tmp_path: Path) -> None:
    assert unet.plan is not None
    half = requested(tmp_path, "unet", "fp16")
    path = exported(half, tmp_path / "fp16")
    assert path.with_suffix(".bin").stat().st_size < 0.6 * whole.with_suffix(".bin").stat().st_size
    types = {
        node.friendly_name: node.get_element_type()
        for node in ov.Core().read_model(path).get_ordered_ops()
        if node.get_type_name() == "Constant"
    }
    assert types["down_1_block_0.conv1.weight"] == types["up_1_upsample/conv/phase_00/weight"] == ov.Type.f16
    assert types["head.conv.weight"] == types["embed_t.linear1.weight"] == ov.Type.f32  # roles that stay exact


def test_two_exports_are_equal_to_the_byte(unet: ExportRequest, whole: Path, tmp_path: Path) -> None:
    again = exported(unet, tmp_path / "again")
    for file in sorted(whole.parent.iterdir()):
        assert file.read_bytes() == (again.parent / file.name).read_bytes(), file.name


@eight_bits
def test_int8_of_two_exports_is_equal_to_the_byte(small: ExportRequest, int8: Path, tmp_path: Path) -> None:
    again = exported(small, tmp_path / "again")
    for file in sorted(int8.parent.iterdir()):
        assert file.read_bytes() == (again.parent / file.name).read_bytes(), file.name


def test_values_of_nodes_are_found_by_their_names(unet: ExportRequest, whole: Path) -> None:
    assert unet.plan is not None
    assert unet.source is not None
    model = graph.build(unet.plan).eval()
    store.fill(model, unet.source)
    inputs = parity.inputs_at(unet.plan, SIZES)
    errors = {node.name: error for node, error in parity.node_errors(unet.plan, model, IRRunner(whole), inputs)}
    assert errors.keys() >= {node.name for node in unet.plan} - {"head"}  # whose value is the output
    assert max(errors.values()) < 1e-5


def test_sizes_have_their_bounds_and_the_spec_travels(unet: ExportRequest, whole: Path) -> None:
    model = ov.Core().read_model(whole)
    assert str(model.input("x").partial_shape) == "[1..4,4,8..40,8..40]"
    assert model.input("x").element_type == model.output("output").element_type == ov.Type.f32
    assert model.get_rt_info(["netspec", "netspec.spec"]).astype(str) == unet.metadata["netspec.spec"]
    named = [node.friendly_name for node in model.get_ordered_ops()]
    assert {"stem.weight", "down_0_block_0.conv1.weight"} <= set(named)
    assert len(named) == len(set(named))
    kinds = {node.get_type_name() for node in model.get_ordered_ops()}
    assert kinds >= {"MVN", "ScaledDotProductAttention", "Swish", "Gelu"}


def test_advice_says_sizes_and_properties(whole: Path) -> None:
    advice = json.loads((whole.parent / "openvino.json").read_text(encoding="utf-8"))
    assert advice["sizes"]["height"] == {"min": 8, "opt": 16, "max": 40}
    assert advice["inputs"]["x"] == ["batch", 4, "height", "width"]
    for properties in advice["compile"].values():
        ov.Core().compile_model(whole, "CPU", properties)


def test_the_machines_own_precision_is_near(unet: ExportRequest, whole: Path) -> None:
    """What a user gets who asks for nothing: bfloat16 where the processor has it."""
    assert unet.plan is not None
    inputs = parity.inputs_at(unet.plan, SIZES)
    exact, fast = (IRRunner(whole, hint)(inputs)["output"] for hint in ({"EXECUTION_MODE_HINT": "ACCURACY"}, {}))
    assert parity.difference(exact, fast)[1] < 0.05  # roundings of a hundred layers to 8 digits


@eight_bits
def test_int8_holds_its_bound_and_leaves_roles_out(small: ExportRequest, int8: Path) -> None:
    report = report_of(int8)
    assert min(report["outputs"].values()) >= 20
    assert small.precision is not None
    eight = {each for each, row in report["layers"].items() if row["precision"] == "int8"}
    assert eight <= set(small.precision.quantised)
    constants = [node for node in ov.Core().read_model(int8).get_ordered_ops() if node.get_type_name() == "Constant"]
    stored = {node.friendly_name: node.get_element_type() for node in constants}
    for path, part in small.precision.parts.items():
        wanted = ov.Type.i8 if path in eight else ov.Type.f32
        if part.weights > 16 and f"{path}.weight" in stored:
            assert stored[f"{path}.weight"] == wanted, path
    assert stored["stem.weight"] == stored["head.conv.weight"] == ov.Type.f32
    assert ov.Type.i8 in stored.values()


@eight_bits
def test_layers_are_given_back_until_the_bound_holds(small: ExportRequest, int8: Path, tmp_path: Path) -> None:
    wanted = min(report_of(int8)["outputs"].values()) + 1
    strict = report_of(exported(small, tmp_path / "strict", sqnr=wanted))
    assert min(strict["outputs"].values()) >= wanted
    assert len(strict["tried"]) > 1
    kept = [row for row in strict["layers"].values() if row["why"]]
    assert kept and all(row["precision"] == "fp32" for row in kept)


def test_a_bound_that_nothing_holds_is_told(
    small: ExportRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exporters.openvino.quantised.ROUNDS", 1)  # the others take their time
    with pytest.raises(ExportError) as caught:
        exported(small, tmp_path / "never", sqnr=99.0)
    assert caught.value.diagnostics[0].code == "NS581"


@eight_bits
def test_int8_of_convolutions_is_near_pytorch(small: ExportRequest, int8: Path) -> None:
    assert small.plan is not None
    assert small.source is not None
    model = graph.build(small.plan).eval()
    store.fill(model, small.source)
    tolerance = OpenVINOExporter().tolerance(small)
    rows = parity.verify(small.plan, model, IRRunner(int8), precision=small.precision, tolerance=tolerance).rows
    assert all(1e-3 < row.max_rel < row.tolerance for row in rows)


@eight_bits
def test_int8_of_products_passes_the_proof(tmp_path: Path) -> None:
    path = tmp_path / "net.yaml"
    path.write_text(SMALL[: SMALL.index("unet:")] + DIT, encoding="utf-8")
    result = compiler.compile(api.load(path), tmp_path / "b", compiler.Options())
    assert result.manifest.parity
    assert all(1e-3 < row.max_rel < row.tolerance for row in result.manifest.parity)
    assert "edge/quantization.txt" in result.manifest.files


def test_an_option_that_means_nothing_is_told(small: ExportRequest, tmp_path: Path) -> None:
    with pytest.raises(ExportError) as caught:
        exported(small, tmp_path / "wrong", sqnr=-1.0)
    assert caught.value.diagnostics[0].code == "NS561"


@pytest.mark.parametrize("spoil", ["cut", "other"])
def test_a_file_that_is_no_ir_of_the_network_is_told(
    unet: ExportRequest, whole: Path, tmp_path: Path, spoil: str
) -> None:
    path = tmp_path / "model.xml"
    text = whole.read_text(encoding="utf-8")
    path.write_text(text[: len(text) // 2] if spoil == "cut" else text.replace('"text"', '"other"'), encoding="utf-8")
    (tmp_path / "model.bin").write_bytes(whole.with_suffix(".bin").read_bytes())
    found = list(OpenVINOExporter().ensures(unet, (path,)))
    assert [each.code for each in found] == ["NS580"]


def test_a_missing_package_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("netspec.target.find_spec", lambda name: None)
    assert OpenVINOExporter.missing() == "openvino, nncf is not installed: pip install 'netspec[openvino]'"


def upsampled(kernel: int, biased: bool) -> tuple[Any, Callable[[np.ndarray], np.ndarray]]:
    """Doubling and a convolution, in OpenVINO and in PyTorch."""
    random = np.random.default_rng(0)
    weight = random.standard_normal((5, 3, kernel, kernel)).astype(np.float32)
    bias = random.standard_normal((1, 5, 1, 1)).astype(np.float32)
    pad = [kernel // 2] * 2
    x = ops.parameter([-1, 3, -1, -1], np.float32)
    scales, axes = ops.constant(np.array([2, 2], np.float32)), ops.constant(np.array([2, 3]))
    grown = ops.interpolate(
        x, scales, "nearest", "scales", [0], [0],
        coordinate_transformation_mode="asymmetric", nearest_mode="floor", axes=axes,
    )  # fmt: skip
    y = ops.convolution(grown, ops.constant(weight), [1, 1], pad, pad, [1, 1])
    y = ops.add(y, ops.constant(bias)) if biased else y
    y.output(0).set_names({"y"})

    def expected(image: np.ndarray) -> np.ndarray:
        doubled = F.interpolate(torch.from_numpy(image), scale_factor=2.0)
        added = torch.from_numpy(bias.ravel()) if biased else None
        return F.conv2d(doubled, torch.from_numpy(weight), added, padding=kernel // 2).numpy()

    return ov.Model([y], [x]), expected


@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize(("kernel", "rewritten"), [(3, True), (5, False)])
def test_upsampling_is_four_small_convolutions(kernel: int, rewritten: bool, biased: bool) -> None:
    model, expected = upsampled(kernel, biased)
    upsampling.split(model)
    model.validate_nodes_and_infer_types()
    kinds = [node.get_type_name() for node in model.get_ordered_ops()]
    assert kinds.count("Convolution") == (4 if rewritten else 1)
    assert ("Interpolate" in kinds) is not rewritten
    compiled = ov.Core().compile_model(model, "CPU", {"EXECUTION_MODE_HINT": "ACCURACY"})
    for shape in ((1, 3, 1, 1), (2, 3, 5, 4)):
        image = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
        assert np.abs(compiled([image])["y"] - expected(image)).max() < 1e-5


def test_engine_runs_and_says_where_time_goes(unet: ExportRequest, whole: Path) -> None:
    assert unet.plan is not None
    engine = OpenVINOEngine(whole, 1)
    inputs = parity.inputs_at(unet.plan, SIZES)
    engine.prepare(inputs)()
    profile = engine.profile(inputs, 2)
    assert profile.seconds > 0
    assert any("stem" in name for kernel in profile.kernels for name in kernel.names)
