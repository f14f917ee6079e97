"""The float32 twin of a bfloat16 graph: that it is one, and that it tells where a file is not its network's."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper

from exporters.onnx import twin
from netspec import api, compiler
from netspec.bundle import Manifest
from netspec.compiler import Options
from netspec.deployment import Deployment, deployments
from tests.tensorrt_targets import DIMS, loaded


def test_the_rounding_twin_rounds_after_each_node(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(1)
    x, weight = torch.randn(8, 32, generator=generator).bfloat16(), torch.randn(32, 8, generator=generator).bfloat16()
    path = tmp_path / "model.onnx"
    value = lambda name, *dims: helper.make_tensor_value_info(name, TensorProto.BFLOAT16, dims)  # noqa: E731
    held = helper.make_tensor("w", TensorProto.BFLOAT16, [32, 8], weight.view(torch.int16).numpy().tobytes(), raw=True)
    nodes = [helper.make_node("MatMul", ["x", "w"], ["h"]), helper.make_node("Mul", ["h", "h"], ["y"])]
    body = helper.make_graph(nodes, "g", [value("x", 8, 32)], [value("y", 8, 8)], [held], value_info=[value("h", 8, 8)])
    onnx.save(helper.make_model(body, opset_imports=[helper.make_opsetid("", 22)], ir_version=10), path)
    made = twin.runner(path)({"x": x.float().numpy()}, ["h"])
    h = (x.float() @ weight.float()).bfloat16()
    np.testing.assert_array_equal(made["h"], h.float().numpy())
    np.testing.assert_array_equal(made["y"], (h.float() * h.float()).bfloat16().float().numpy())


@pytest.fixture
def brain(tensorrt_bundle: Path, tmp_path: Path) -> tuple[Deployment, Path]:
    """The bfloat16 target, and a copy of its folder that a test may change."""
    copy = tmp_path / "brain"
    shutil.copytree(tensorrt_bundle / "brain", copy)
    (deployment,) = deployments(api.lower(api.load(tensorrt_bundle / "spec.yaml")), ["brain"])
    source = tensorrt_bundle / "model.safetensors"
    return replace(deployment, request=replace(deployment.request, source=source)), copy


def _differences(brain: tuple[Deployment, Path]) -> list[str]:
    deployment, folder = brain
    files = (folder / "model.onnx",)
    return [each.code for each in deployment.exporter.ensures(deployment.request, files)]


@pytest.mark.parametrize("flavour", ["ort-cpu", "portable"])
def test_the_onnx_target_in_bfloat16_has_the_same_proof(tmp_path: Path, flavour: str) -> None:
    brain = {"exporter": "onnx", "precision": "bf16", "flavour": flavour, "dims": DIMS}
    out = compiler.compile(loaded("dit", edge=brain), tmp_path / "out", Options(targets=("edge",))).folder
    rows = Manifest.read(out).parity
    assert max(row.max_rel for row in rows if row.dtype == "fp32") < 1e-5
    assert 1e-3 < max(row.max_rel for row in rows if row.dtype == "bf16") < 2.4e-2


def test_a_true_file_has_no_differences(brain: tuple[Deployment, Path]) -> None:
    assert _differences(brain) == []


def test_one_other_bit_of_a_weight_is_found(brain: tuple[Deployment, Path]) -> None:
    path = brain[1] / "model.safetensors"
    raw = bytearray(path.read_bytes())
    raw[-2] ^= 1  # of the last weight: one unit in its last place
    path.write_bytes(raw)
    assert _differences(brain) == ["NS555"]


@pytest.mark.parametrize("change", ["constant", "operand", "attribute"])
def test_another_graph_is_found(brain: tuple[Deployment, Path], change: str) -> None:
    path = brain[1] / "model.onnx"
    model = onnx.load(path, load_external_data=False)
    if change == "constant":
        scale = next(t for t in model.graph.initializer if t.raw_data and t.data_type == TensorProto.BFLOAT16)
        scale.raw_data = bytes([scale.raw_data[0] ^ 1]) + scale.raw_data[1:]
    elif change == "operand":
        product = next(node for node in model.graph.node if node.op_type == "MatMul")
        product.input[0], product.input[1] = product.input[1], product.input[0]
    else:
        norm = next(node for node in model.graph.node if node.op_type == "LayerNormalization")
        next(each for each in norm.attribute if each.name == "epsilon").f = 1e-3
    path.write_bytes(model.SerializeToString())
    assert "NS556" in _differences(brain)
