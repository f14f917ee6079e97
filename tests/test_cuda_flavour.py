"""The flavour for ONNX Runtime's CUDA provider, without a GPU: schemas, and what each operator means, on the CPU."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch
import torch.nn.functional as F
from onnx import TensorProto, helper
from torch import Tensor, nn

from exporters.lowering import FLAVOURS, emit
from exporters.onnx import contrib, runtime
from exporters.onnx.exporter import OnnxExporter
from netspec import deployment, ops
from netspec.precision import assign
from netspec.spec import Precision
from netspec.target import ExportRequest, Port
from tests.test_flavours import anywhere, operators, relative, requested, saved, small
from tests.test_lowering import Wrap, outputs_of, save_weights

CUDA = FLAVOURS["ort-cuda"]


@pytest.mark.parametrize("name", ["unet", "autoencoder", "dit", "upsampler", "tied_unet"])
def test_cuda_kernels_mean_the_network(name: str, tmp_path: Path) -> None:
    request, inputs, expected = small(name)
    (path,) = OnnxExporter(CUDA).run(
        replace(request, source=save_weights(request.model, tmp_path / "source")), tmp_path
    )
    model = onnx.load(path, load_external_data=False)
    assert not list(contrib.problems(model))
    assert not [node for node in contrib.standard(model).graph.node if node.domain]
    for found, wanted in zip(OnnxExporter(CUDA).runner(path)(inputs).values(), expected, strict=True):
        assert relative(found, wanted) < 1e-5  # both compute in float32


def test_cuda_kernels_in_float16(tmp_path: Path) -> None:
    request, inputs, expected = small("unet")
    half = assign(request.model, Precision("fp16"), "fp16")  # type: ignore[arg-type]  # a Model is a Module
    request = replace(
        deployment.request_for(request.plan, request.model, half),  # type: ignore[arg-type]
        source=save_weights(request.model, tmp_path / "source"),
    )
    (path,) = OnnxExporter(CUDA).run(request, tmp_path)
    found = OnnxExporter(CUDA).runner(path)(inputs)
    assert relative(next(iter(found.values())), expected[0]) < 1e-2  # float16 has 3 digits


def test_bfloat16_takes_no_kernel_that_lacks_it() -> None:
    request, *_ = small("unet")
    half = assign(request.model, Precision("bf16"), "bf16")  # type: ignore[arg-type]
    request = deployment.request_for(request.plan, request.model.to("meta"), half)  # type: ignore[arg-type]
    assert {node.domain for node in emit(request, CUDA, anywhere(request.model, half)).graph} == {""}


def test_layout_changes_at_the_ends_only() -> None:
    request, *_ = small("unet")
    graph = emit(request, CUDA).graph
    weights = {value.name for value in graph.initializers.values()}
    turned = [node for node in graph if node.op_type == "Transpose" and len(node.attributes["perm"].as_ints()) == 4]
    images = [node.name for node in turned if node.inputs[0] is not None and node.inputs[0].name not in weights]
    assert images == ["stem/transpose", "head/conv"]
    counts = operators(emit(request, CUDA))
    assert counts["SkipGroupNorm"] == counts["Sigmoid"]  # the time is added inside each second norm; its own SiLU stays
    assert not counts["InstanceNormalization"] + counts["Conv"]


def test_gates_of_the_widths_that_have_kernels(tmp_path: Path) -> None:
    class Gated(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.proj, self.out = nn.Linear(8, width), nn.Linear(width // 2, 4)

        def forward(self, x: Tensor) -> Tensor:
            value, gate = self.proj(x).chunk(2, dim=-1)
            return self.out(value * F.gelu(gate))

    torch.manual_seed(0)
    request = requested(Gated(2560), {"x": (2, 3, 8)}, (2, 3, 4))
    path = saved(emit(request, CUDA), tmp_path)
    assert operators(ir.load(path))["BiasSplitGelu"] == 1
    x = torch.randn(2, 3, 8)
    with torch.no_grad():
        expected = request.model(x)
    assert relative(outputs_of(path, {"x": x.numpy()})["out"], expected) < 1e-5
    assert not operators(emit(requested(Gated(2048), {"x": (2, 3, 8)}, (2, 3, 4)), CUDA))["BiasSplitGelu"]


def test_attention_by_contrib_operator_with_a_mask(tmp_path: Path) -> None:
    model = Wrap(lambda x, y, z: ops.attention(x, y, y * 2, 2, z))
    x, y, seen = torch.randn(2, 5, 8), torch.randn(2, 4, 8), torch.tensor([[1, 0, 1, 0], [0, 1, 1, 1]])
    ports = [Port(name, tuple(value.shape), value.dtype) for name, value in zip("xyz", (x, y, seen), strict=True)]
    request = ExportRequest(model, ports, [Port("out", (2, 5, 8), torch.float32)], "net")
    path = saved(emit(request, FLAVOURS["ort-cpu-contrib"]), tmp_path)
    inputs = {"x": x.numpy(), "y": y.numpy(), "z": seen.numpy()}
    own = runtime.run(path, inputs)["out"]  # its kernel on the CPU, which nobody here wrote
    onnx.save(contrib.standard(onnx.load(path)), path)
    assert np.abs(runtime.run(path, inputs)["out"] - own).max() < 1e-6  # what we say that it means


@pytest.mark.parametrize(
    ("op_type", "shapes", "attributes", "words"),
    [
        ("GroupNorms", [(1, 4, 4, 8), (8,), (8,)], {}, "no such operator"),
        ("GroupNorm", [(1, 4, 4, 8), (8,)], {"activation": 0, "groups": 2}, "2 inputs"),
        ("GroupNorm", [(1, 4, 4, 8), (8,), (8,)], {"groups": 2}, "`activation` is missing"),
        ("GroupNorm", [(1, 4, 4, 8), (8,), (8,)], {"activation": 0, "groups": 2, "axis": 1}, "no attribute `axis`"),
        ("GroupNorm", [(1, 4, 4, 8), (8,), (8,)], {"activation": 0, "groups": 8}, "8 groups"),
        ("GroupNorm", [(1, 16, 8), (8,), (8,)], {"activation": 0, "groups": 2}, "2 groups"),
        ("BiasSplitGelu", [(1, 4, 64), (64,)], {}, "widths 2560"),
    ],
)
def test_nodes_that_the_provider_would_refuse(
    op_type: str, shapes: list[tuple[int, ...]], attributes: dict[str, int], words: str
) -> None:
    names = [f"in{index}" for index in range(len(shapes))]
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in zip(names, shapes, strict=True)
    ]
    node = helper.make_node(op_type, names, ["out"], "it", domain="com.microsoft", **attributes)
    found = list(contrib.problems(helper.make_model(helper.make_graph([node], "g", values, []))))
    assert any(words in each and "`it`" in each for each in found), found


def test_types_that_the_provider_would_refuse() -> None:
    types = TensorProto.FLOAT16, TensorProto.FLOAT16, TensorProto.FLOAT16
    shapes = (1, 4, 4, 8), (8,), (8,)
    values = [helper.make_tensor_value_info(*each) for each in zip("xyz", types, shapes, strict=True)]
    node = helper.make_node("GroupNorm", list("xyz"), ["out"], "it", domain="com.microsoft", activation=0, groups=2)
    (found,) = contrib.problems(helper.make_model(helper.make_graph([node], "g", values, [])))
    assert "float32" in found
