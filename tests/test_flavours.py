"""What flavours promise beyond equal numbers: fewer multiplications, few changes of layout, no overflow in float16."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
import torch
import torch.nn.functional as F
from onnx import TensorProto, helper
from torch import Tensor, nn

import netspec
from exporters.lowering import FLAVOURS, ORT_CPU, Flavour, Slot, emit, pack, winograd
from exporters.lowering.dims import Size, number, symbol
from exporters.onnx import runtime
from exporters.onnx.exporter import OnnxExporter
from exporters.onnx.ort_format import to_ort
from netspec import compiler, deployment, ops, verification
from netspec.errors import ExportError
from netspec.precision import assign
from netspec.spec import Precision
from netspec.target import ExportRequest, Port
from tests.test_lowering import Wrap, outputs_of, save_weights

TINY = Path(__file__).parents[1] / "specs" / "tiny"
WINOGRAD = 1e-5  # measured 2e-6 of the largest output for 4x4 tiles of some 100 channels; a wrong tile is off by 1


def requested(model: nn.Module, shapes: dict[str, tuple[int | str, ...]], out: tuple[int | str, ...]) -> ExportRequest:
    dtype = next((parameter.dtype for parameter in model.parameters()), torch.float32)
    ports = [Port(name, shape, dtype) for name, shape in shapes.items()]
    return ExportRequest(model.eval(), ports, [Port("out", out, dtype)], "net", multiples={"h": 2, "w": 4})


def operators(model: ir.Model) -> Counter[str]:
    return Counter(node.op_type for node in model.graph)


def saved(model: ir.Model, folder: Path) -> Path:
    path = folder / "model.onnx"
    ir.save(model, path)
    return path


def relative(actual: np.ndarray, expected: Tensor) -> float:
    wanted = expected.detach().double().numpy()
    assert actual.shape == wanted.shape
    return float(np.abs(actual.astype(np.float64) - wanted).max() / np.abs(wanted).max())


def small(name: str) -> tuple[ExportRequest, dict[str, np.ndarray], list[Tensor]]:
    """A shipped small network with weights that hide nothing, inputs at its usual sizes, and PyTorch's outputs."""
    torch.manual_seed(0)
    spec = netspec.load(TINY / f"{name}.yaml")
    model = netspec.build(spec).eval()
    for parameter in model.parameters():
        if parameter.ndim > 1:
            nn.init.normal_(parameter, std=parameter[0].numel() ** -0.5)
    request = deployment.request_for(netspec.lower(spec), model)
    usual = {size: dim.opt for size, dim in spec.dims.items()}
    shapes = {port.name: [usual.get(size, size) for size in port.shape] for port in request.inputs}  # type: ignore[call-overload]
    inputs = {
        port.name: torch.randn(shapes[port.name]) if len(port.shape) > 1 else torch.arange(shapes[port.name][0])
        for port in request.inputs
    }
    inputs = {port.name: inputs[port.name].to(port.dtype) for port in request.inputs}
    with torch.no_grad():
        outputs = model(*inputs.values())
    outputs = (
        list(outputs.values()) if isinstance(outputs, dict) else [outputs] if isinstance(outputs, Tensor) else outputs
    )
    return request, {key: value.numpy() for key, value in inputs.items()}, list(outputs)


def anywhere(model: nn.Module, precision: Any = None) -> Any:
    """Places of weights that nobody reads."""

    def length(key: str, tensor: Tensor) -> int:
        dtype = tensor.dtype if precision is None else precision.stored(key, tensor)
        return tensor.numel() * int(dtype.itemsize)

    return {key: Slot("none", 0, length(key, tensor)) for key, tensor in model.state_dict().items()}


# Convolutions with fewer multiplications


@pytest.mark.parametrize("m", [2, 4])
def test_a_filter_by_tiles_is_the_filter(m: int) -> None:
    """The transforms of one row, in exact numbers, against the definition of a filter."""
    rng = np.random.default_rng(0)
    row, kernel = rng.standard_normal(m + 2), rng.standard_normal(3)
    inputs, filters, outputs = winograd.transforms(m)
    made = outputs @ ((filters @ kernel) * (inputs @ row))
    assert np.allclose(made, np.correlate(row, kernel, "valid"), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("shape", "side"),
    [
        ((1, 8, 32), 4),
        ((4, 8, 8), 4),
        ((1, 8, 12), 2),  # 6 tiles of 4x4 are too few
        ((2, 6, 10), 2),  # no multiple of 4
        (("n", 8, 8), 4),  # sizes that nobody knows are many
        (("n", "h", "w"), 2),  # heights are even
    ],
)
def test_convolutions_by_tiles(shape: tuple[int | str, ...], side: int, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(96, 100, 3, padding=1))
    n, h, w = shape
    graph = emit(requested(model, {"input": (n, 96, h, w)}, (n, 100, h, w)), ORT_CPU)
    (conv,) = [node for node in graph.graph if node.op_type == "Conv"]
    assert list(conv.attributes["strides"].as_ints()) == [side, side]
    path = saved(graph, tmp_path)
    for drawn in ((3, 6, 8), (2, 10, 4)):
        sizes = [given if isinstance(given, int) else number for given, number in zip(shape, drawn, strict=True)]
        x = torch.randn(sizes[0], 96, *sizes[1:])
        with torch.no_grad():
            expected = model.double()(x.double())
        assert relative(runtime.run(path, {"input": x.numpy()})["out"], expected) < WINOGRAD


@pytest.mark.parametrize(
    ("conv", "size"),
    [
        (nn.Conv2d(95, 96, 3, padding=1), (1, 16)),
        (nn.Conv2d(96, 4, 3, padding=1), (1, 16)),
        (nn.Conv2d(96, 96, 3, padding=1), (1, 15)),
        (nn.Conv2d(96, 96, 3, padding=1), (1, 6)),
        (nn.Conv2d(96, 96, 3, stride=2, padding=1), (1, 16)),
        (nn.Conv2d(96, 96, 3), (1, 18)),
        (nn.Conv2d(96, 96, 3, padding=2, dilation=2), (1, 16)),
        (nn.Conv2d(192, 192, 3, padding=1, groups=2), (1, 16)),
        (nn.Conv2d(96, 96, 1), (1, 16)),
        (nn.Conv2d(96, 96, 3, padding=1).half(), (1, 16)),
        (nn.Conv2d(96, 96, 3, padding=1).double(), (1, 16)),
    ],
    ids=lambda value: (
        str(value).replace("kernel_size=", "") if isinstance(value, nn.Module) else "x".join(map(str, value))
    ),
)
def test_other_convolutions_stay(conv: nn.Conv2d, size: tuple[int, int]) -> None:
    n, side = size
    request = requested(nn.Sequential(conv), {"input": (n, conv.in_channels, side, side)}, ("n", "c", "h", "w"))
    assert operators(emit(request, ORT_CPU)) == {"Conv": 1}


@pytest.mark.parametrize("precision", ["fp16", "bf16", "int8"])
def test_other_precisions_keep_whole_convolutions(precision: str) -> None:
    spec = netspec.load("specs/unet/ddpm_cifar10.yaml")
    model = netspec.build(spec, device="meta")
    assert _strides(spec, model, None) > {(4, 4)}
    assert (4, 4) not in _strides(spec, model, assign(model, Precision(precision), precision.replace("int8", "fp32")))


def _strides(spec: netspec.Spec, model: nn.Module, precision: Any) -> set[tuple[int, ...]]:
    graph = emit(deployment.request_for(netspec.lower(spec), model, precision), ORT_CPU, anywhere(model, precision))  # type: ignore[arg-type]
    convolutions = [node for node in graph.graph if node.op_type == "Conv"]
    return {tuple(node.attributes["strides"].as_ints()) for node in convolutions}


def test_the_usual_sizes_decide() -> None:
    """A level whose images are a few pixels at `opt` keeps its convolutions, whatever the largest image is."""
    size: Size = symbol("h", 4) * symbol("w", 2) // 8
    assert number(size, {"h": 8, "w": 6}) == 6
    assert number(size, {"h": 8}) is None
    assert number((symbol("h") + 3) // 2, {"h": 8}) == 5
    assert number(7, {}) == 7


# ORT format


def test_ort_format_runs_and_only_its_tables_differ(tmp_path: Path) -> None:
    request, inputs, expected = small("unet")
    (path,) = OnnxExporter("portable").run(
        replace(request, source=save_weights(request.model, tmp_path / "source")), tmp_path
    )
    written = [to_ort(path).read_bytes() for _ in range(2)]
    assert {path.suffix for path in tmp_path.iterdir()} >= {".ort", ".onnx"}
    one, other = (np.frombuffer(each, np.uint8) for each in written)
    assert np.array_equal(one[4096:], other[4096:])  # the tables of operator sets and kernels come first
    session = onnxruntime.InferenceSession(path.with_suffix(".ort"), providers=["CPUExecutionProvider"])
    found = session.run(None, runtime.accepted(session, inputs))
    assert relative(found[0], expected[0]) < 1e-5


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_ort_format_is_a_target(precision: str, tmp_path: Path) -> None:
    """Built, proven and verified like any other; the manifest says that a rebuild may differ."""
    sizes = "dims: {batch: 1, height: 8, width: 8}"
    text = Path("specs/tiny/unet.yaml").read_text("utf-8")
    spec = netspec.loads(f"{text}\ntargets: {{edge: {{exporter: ort, precision: {precision}, {sizes}}}}}\n")
    built = compiler.compile(spec, tmp_path / "b", compiler.Options())
    assert built.manifest.parity
    files = {path.name for path in (tmp_path / "b/edge").iterdir()}
    assert files - {"quantization.json", "quantization.txt"} == {"model.ort"}
    assert built.manifest.targets["edge"].stamped
    results = [check.result for check in verification.verify(tmp_path / "b") if check.name == "edge"]
    assert len(results) == 2, results  # valid, and equal to PyTorch as before


def test_ort_format_ends_at_two_gibibytes(tmp_path: Path) -> None:
    weight = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[2**29], data_location=TensorProto.EXTERNAL)
    for key, value in (("location", "w.bin"), ("offset", "0"), ("length", str(2**31))):
        weight.external_data.add(key=key, value=value)
    path = tmp_path / "model.onnx"
    onnx.save(helper.make_model(helper.make_graph([], "g", [], [], [weight])), path)
    with pytest.raises(ExportError, match="NS512"):
        to_ort(path)


# float16


def in_float16(module: nn.Module, flavour: Flavour, inputs: dict[str, Tensor], folder: Path) -> np.ndarray:
    """The output of a module of float16 tensors, exported."""
    out: tuple[int | str, ...] = tuple(f"out{axis}" for axis in range(next(iter(inputs.values())).ndim))
    ports = [Port(name, tuple(value.shape), value.dtype) for name, value in inputs.items()]
    request = ExportRequest(module.eval(), ports, [Port("out", out, torch.float16)], "net")
    path = saved(emit(request, flavour), folder)
    return outputs_of(path, {name: value.numpy() for name, value in inputs.items()})["out"]


NORMS: dict[str, tuple[nn.Module, Callable[[Tensor], Tensor]]] = {
    "softmax": (nn.Softmax(-1), lambda x: F.softmax(x, -1)),
    "layer norm": (nn.LayerNorm(64), lambda x: F.layer_norm(x, (64,))),
    "rms norm": (nn.RMSNorm(64, eps=1e-5), lambda x: F.rms_norm(x, (64,), eps=1e-5)),
    "group norm": (nn.GroupNorm(2, 8), lambda x: F.group_norm(x, 2)),
}


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize("leaf", NORMS)
def test_inputs_of_ten_thousand(leaf: str, flavour: str, tmp_path: Path) -> None:
    """Their squares, and the exponentials of their differences, are far outside of float16."""
    torch.manual_seed(0)
    module, meaning = NORMS[leaf]
    x = (torch.randn(2, 8, 16, 64) * 1e4).half()
    found = in_float16(nn.Sequential(module).half(), FLAVOURS[flavour], {"input": x}, tmp_path)
    assert np.isfinite(found).all()
    assert relative(found, meaning(x.double())) < 2e-3  # float16's own rounding of the result is 5e-4


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_attention_of_large_queries_and_keys(flavour: str, tmp_path: Path) -> None:
    """The products of q and k are 1e6, beyond float16 before they are scaled and within it after."""
    torch.manual_seed(0)
    q, k, v = torch.randn(1, 6, 64) * 110, torch.randn(1, 9, 64) * 110, torch.randn(1, 9, 64)
    q, k, v = q.half(), k.half(), v.half()
    assert (q.double() @ k.double().mT).abs().max() > 65504
    module = Wrap(lambda x, y, z: ops.attention(x, y, z, 1))
    found = in_float16(module, FLAVOURS[flavour], {"x": q, "y": k, "z": v}, tmp_path)
    assert np.isfinite(found).all()
    scores = (q.double() @ k.double().mT) / 8
    sharp = scores.softmax(-1) @ v.double()
    # Scores of 1e4 have steps of 8 in float16: as PyTorch's own float16, only rows with a clear winner are certain.
    clear = scores.sort(-1).values.diff(dim=-1)[..., -1] > 100
    assert clear.sum() >= 3
    assert np.abs(found - sharp.numpy())[clear.numpy()].max() < 1e-2


@pytest.mark.parametrize("flavour", ["ort-cpu", "portable", "ort-cuda"])
def test_group_norm_of_a_large_image(flavour: str, tmp_path: Path) -> None:
    """512 x 512 positions: sums of a million numbers, in one group more than float16 can count."""
    torch.manual_seed(0)
    x = (torch.randn(1, 128, 512, 512) * 20 + 100).half()
    found = in_float16(nn.Sequential(nn.GroupNorm(32, 128)).half(), FLAVOURS[flavour], {"input": x}, tmp_path)
    delta = torch.from_numpy(found).float() - F.group_norm(x.float(), 32)  # NaN and infinity fail below
    assert delta.abs().max() < 5e-3  # of numbers up to 6: one rounding of float16 is 2e-3


@pytest.mark.parametrize("flavour", ["ort-cpu", "portable", "ort-cuda", "tensorrt"])
def test_a_decoder_in_float16_does_not_go_black(flavour: str, tmp_path: Path) -> None:
    """Activations of thousands, as trained decoders have them: their squares overflow float16, they do not."""
    torch.manual_seed(0)
    spec = netspec.load(TINY / "autoencoder.yaml")
    model = netspec.build(spec, outputs=["decoded"]).eval()
    for parameter in model.parameters():
        if parameter.ndim > 1:
            nn.init.normal_(parameter, std=parameter[0].numel() ** -0.5)
    seen: list[float] = []
    for name, module in model.named_modules():
        if name.endswith("conv2"):
            module.weight.data *= 4000
            module.register_forward_hook(lambda m, x, y: seen.append(float(y.abs().max())))
    latent = torch.randn(1, 4, 5, 7)
    with torch.no_grad():
        expected = model(latent)
    assert 5e3 < max(seen) < 5e4
    half = assign(model, Precision("fp16"), "fp16")
    request = deployment.request_for(netspec.lower(spec).only(["decoded"]), model, half)
    request = replace(request, source=save_weights(model, tmp_path / "source"))
    graph = saved(emit(request, FLAVOURS[flavour], pack(request, tmp_path)), tmp_path)
    found = OnnxExporter(flavour).runner(graph)({"latent": latent.numpy()})["decoded"]
    assert np.isfinite(found).all()
    assert relative(found, expected) < 2e-2  # float16 has 3 digits, and some twenty layers add their errors
