"""The `tensorrt` target: what its folder holds, what its graph is, and what it refuses.

No GPU is needed: graphs are judged by the gate and run by ONNX Runtime.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto
from safetensors.torch import load_file

from exporters.lowering.attention import scale_factors
from netspec import api, compiler
from netspec.bundle import Manifest
from netspec.compiler import Options
from netspec.deployment import deployments
from netspec.errors import ExportError, NetspecError
from netspec.verification import verify
from tests.processors import eight_bits
from tests.tensorrt_targets import DIMS, FILES, TINY, deployed, exported, graph, loaded, target

# The folder


def test_files_and_their_hashes(tensorrt_bundle: Path) -> None:
    for name in ("single", "half", "brain", "native"):
        assert {path.name for path in (tensorrt_bundle / name).iterdir()} == FILES
    known = Manifest.read(tensorrt_bundle).files
    assert {f"half/{name}" for name in FILES} <= known.keys()
    assert os.access(tensorrt_bundle / "half" / "build_engine.sh", os.X_OK)


def test_parity_of_every_precision(tensorrt_bundle: Path) -> None:
    rows = Manifest.read(tensorrt_bundle).parity
    found = Counter((row.target, row.dtype) for row in rows)
    assert set(found) == {
        ("single", "fp32"),
        ("half", "fp16"),
        ("brain", "bf16"),
        ("brain", "fp32"),
        ("native", "fp16"),
    }
    assert found["brain", "bf16"] == found["brain", "fp32"] >= 4  # the file, rounded, and its twin
    worst = {key: max(row.max_rel for row in rows if (row.target, row.dtype) == key) for key in found}
    assert worst["single", "fp32"] < 1e-5 and worst["brain", "fp32"] < 1e-5
    assert 1e-5 < worst["half", "fp16"] < 3e-3  # 2**-11 is 5e-4
    assert 1e-3 < worst["brain", "bf16"] < 2.4e-2  # eight times as coarse


def test_a_built_bundle_verifies(tensorrt_bundle: Path) -> None:
    checks = verify(tensorrt_bundle, parity=False)
    assert {"half", "brain"} <= {check.name for check in checks}


def test_the_gate_s_verdict_is_written(tensorrt_bundle: Path) -> None:
    report = json.loads((tensorrt_bundle / "half" / "gate.json").read_text())
    assert report["passed"] is True
    assert [each["target"] for each in report["gates"]] == ["tensorrt-10.3", "tensorrt-11.1"]
    assert not any(each["findings"] for each in report["gates"])  # weights are there, sizes fit, nothing is toxic
    native = json.loads((tensorrt_bundle / "native" / "gate.json").read_text())
    assert [each["target"] for each in native["gates"]] == ["tensorrt-10.14", "tensorrt-11.1"]


@pytest.mark.parametrize("name", sorted(path.stem for path in TINY.glob("*.yaml")))
def test_every_network_passes_in_every_precision(name: str, tmp_path: Path) -> None:
    wanted = {precision: {"exporter": "tensorrt", "precision": precision} for precision in ("fp32", "fp16", "bf16")}
    for deployment in deployed(name, **wanted):
        folder = tmp_path / deployment.name
        folder.mkdir()
        deployment.exporter.run(deployment.request, folder)  # raises where the gate refuses
        assert json.loads((folder / "gate.json").read_text())["passed"]
        opset = graph(folder).opset_import[0].version
        assert opset == (22 if deployment.name == "bf16" else 20)


def test_profile_is_the_target_s_sizes(tensorrt_bundle: Path) -> None:
    profile = json.loads((tensorrt_bundle / "half" / "profile.json").read_text())
    assert profile["x"] == {"min": [1, 4, 8, 8], "opt": [2, 4, 8, 10], "max": [2, 4, 8, 12]}
    assert profile["t"] == profile["y"] == {"min": [1], "opt": [2], "max": [2]}


def test_guidance_doubles_the_batch(tmp_path: Path) -> None:
    folder = exported(tmp_path, gpu=target(guidance=True))
    profile = json.loads((folder / "profile.json").read_text())
    assert profile["x"] == {"min": [2, 4, 8, 8], "opt": [4, 4, 8, 10], "max": [4, 4, 8, 12]}
    assert profile["t"] == {"min": [2], "opt": [4], "max": [4]}
    assert "--maxShapes=x:4x4x8x12,t:4,y:4" in (folder / "build_engine.sh").read_text()


def test_inputs_of_fixed_size_are_in_the_profile_but_no_runtime_s_option(tmp_path: Path) -> None:
    fixed = target(dims={"batch": 2, "height": 8, "width": 8})
    profile = json.loads((exported(tmp_path, gpu=fixed) / "profile.json").read_text())
    assert profile["x"] == {point: [2, 4, 8, 8] for point in ("min", "opt", "max")}
    options = json.loads((tmp_path / "ort_tensorrt.json").read_text())
    assert not any("shapes" in key for each in options.values() for key in each)


def test_options_of_onnx_runtime(tmp_path: Path) -> None:
    options = json.loads((exported(tmp_path, gpu=target(memory="8GiB")) / "ort_tensorrt.json").read_text())
    tensorrt, rtx = options["TensorrtExecutionProvider"], options["NvTensorRTRTXExecutionProvider"]
    assert tensorrt["trt_profile_min_shapes"] == rtx["nv_profile_min_shapes"] == "x:1x4x8x8,t:1,y:1"
    assert tensorrt["trt_max_workspace_size"] == rtx["nv_max_workspace_size"] == str(8 * 2**30)
    assert not any("fp16" in key or "bf16" in key for key in tensorrt)  # types are in the graph
    assert all(isinstance(value, str) for each in options.values() for value in each.values())


def test_the_shipped_run_is_pytorch_s(tensorrt_bundle: Path) -> None:
    held = load_file(tensorrt_bundle / "brain" / "parity.safetensors")
    assert {name: each.dtype for name, each in held.items()} == {
        "inputs/x": torch.bfloat16, "inputs/t": torch.float32, "inputs/y": torch.int64, "outputs/output": torch.float32,
    }  # fmt: skip
    model = api.build(api.load(tensorrt_bundle / "spec.yaml"), device="cpu").eval()
    api.load_weights(model, tensorrt_bundle / "model.safetensors")
    with torch.no_grad():
        wanted = model(held["inputs/x"].float(), held["inputs/t"], held["inputs/y"])
    assert (wanted - held["outputs/output"]).abs().max() <= 1e-5 * wanted.abs().max()  # other threads, other sums


def test_the_run_with_guidance_fits_the_profile(tmp_path: Path) -> None:
    spec = loaded("dit", gpu=target(guidance=True, dims={**DIMS, "batch": {"min": 1, "opt": 1, "max": 2}}))
    out = compiler.compile(spec, tmp_path / "out", Options()).folder
    assert load_file(out / "gpu" / "parity.safetensors")["inputs/x"].shape == (2, 4, 8, 10)


@eight_bits
@pytest.mark.parametrize("precision", ["int8", "fp8"])
def test_eight_bits_are_explicit(tmp_path: Path, precision: str) -> None:
    """Layers of the bulk lie between Q and DQ without zero points; the head and the embeddings do not."""
    fixed = target(precision, dims={"batch": 2, "height": 8, "width": 8})
    out = compiler.compile(loaded("dit", gpu=fixed), tmp_path / "out", Options()).folder  # with parity
    model = graph(out / "gpu")
    kind = {"int8": TensorProto.INT8, "fp8": TensorProto.FLOAT8E4M3FN}[precision]
    weights = {tensor.name: tensor.data_type for tensor in model.graph.initializer if tensor.name.endswith(".weight")}
    assert sum(found == kind for found in weights.values()) >= 8
    assert weights["head.linear.weight"] == TensorProto.FLOAT
    held = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer if tensor.raw_data}
    rounded = [node for node in model.graph.node if node.op_type in ("QuantizeLinear", "DequantizeLinear")]
    assert rounded
    assert not any(held[node.input[2]].astype(np.float32).any() for node in rounded if len(node.input) > 2)
    assert json.loads((out / "gpu" / "gate.json").read_text())["passed"]
    assert {"quantization.json", "quantization.txt"} <= {path.name for path in (out / "gpu").iterdir()}
    assert f" {precision} " in (out / "gpu" / "precision.txt").read_text()


def test_the_table_of_precisions_and_overrides(tmp_path: Path) -> None:
    mixed = {"default": "fp16", "fp32": ["*.attn*"]}
    (deployment,) = deployed("dit", gpu=target(mixed))
    names = [name for name, _ in deployment.model.named_parameters() if ".attn" in name]
    assert names  # the pattern means something
    deployment.exporter.run(deployment.request, tmp_path)
    types = {tensor.name: tensor.data_type for tensor in graph(tmp_path).graph.initializer}
    assert {types[name] for name in names} == {TensorProto.FLOAT}
    assert (
        types["block_0.mlp.0.weight" if "block_0.mlp.0.weight" in types else "block_0.mlp_in.weight"]
        == TensorProto.FLOAT16
    )
    text = (tmp_path / "precision.txt").read_text()
    assert "the spec: *.attn*" in text and "nothing after it averages its rounding" in text


def test_a_second_build_is_the_same_to_the_byte(tmp_path: Path) -> None:
    spec = loaded("dit", gpu=target("bf16", memory="8GB", refit=True))
    trees = []
    for name in ("one", "two"):
        out = compiler.compile(spec, tmp_path / name, Options()).folder
        trees.append({path.relative_to(out): path.read_bytes() for path in out.rglob("*") if path.is_file()})
    assert trees[0] == trees[1]


# The graph


def test_attention_is_scaled_before_the_first_product(tmp_path: Path) -> None:
    nodes = graph(exported(tmp_path, gpu=target())).graph.node
    makers = {output: node for node in nodes for output in node.output}
    softmaxes = [node for node in nodes if node.op_type == "Softmax"]
    assert len(softmaxes) == 2
    for softmax in softmaxes:
        cast = makers[softmax.input[0]]
        product = makers[cast.input[0]]
        assert (cast.op_type, product.op_type) == ("Cast", "MatMul")
        assert [makers[name].op_type for name in product.input] == ["Mul", "Mul"]


@pytest.mark.parametrize("head", [8, 24, 32, 40, 64, 72, 80, 96, 128, 160, 512])
def test_the_scale_of_scores_survives_bfloat16(head: int) -> None:
    first, second = (torch.tensor(factor).bfloat16().double() for factor in scale_factors(head))
    assert abs(float(first * second) * head**0.5 - 1) < 3e-4
    assert scale_factors(head)[0] * scale_factors(head)[1] == pytest.approx(head**-0.5, rel=1e-15)


def test_native_attention(tensorrt_bundle: Path) -> None:
    model = graph(tensorrt_bundle / "native")
    assert model.opset_import[0].version == 23
    sizes = {value.name: len(value.type.tensor_type.shape.dim) for value in model.graph.value_info}
    nodes = [node for node in model.graph.node if node.op_type == "Attention"]
    assert len(nodes) == 2
    for node in nodes:
        assert [sizes[name] for name in node.input] == [4, 4, 4]
        assert len(node.output) == 1
        assert {attribute.name for attribute in node.attribute} == {"scale"}
    assert not any(node.op_type == "Softmax" for node in model.graph.node)


def test_native_attention_with_a_mask(tmp_path: Path) -> None:
    """The bias of a mask has four dimensions too."""
    native = {"exporter": "tensorrt", "precision": "fp16", "attention": "native"}
    spec = api.load(TINY / "cross_dit.yaml", set={"targets": {"gpu": native}, "dit.num_heads": 2})
    out = compiler.compile(spec, tmp_path / "out", Options()).folder  # with parity
    nodes = [node for node in graph(out / "gpu").graph.node if node.op_type == "Attention"]
    assert {len(node.input) for node in nodes} == {3, 4}


# Refusals


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        ({"attention": "fused"}, "NS550", "one of: primitive, native"),
        ({"attention": ["native"]}, "NS550", "one of: primitive, native"),
        ({"guidance": "yes please"}, "NS550", "one of: true, false"),
        ({"refit": 1}, "NS550", "one of: true, false"),
        ({"memory": "lots"}, "NS550", "write it as 24GB or 8GiB"),
        ({"versions": [9.1]}, "NS550", "quote a version"),
        ({"versions": 11}, "NS550", "a list such as"),
        ({"versions": []}, "NS550", "a list such as"),
        ({"precision": {"default": "fp16", "int8": ["block_0"], "fp8": ["block_1"]}}, "NS550", "use one of them"),
        ({"guidance": True, "dims": {"batch": 2, "height": 8, "width": 8}}, "NS551", "give the batch a range"),
        ({"attention": "native", "versions": [10.3, 11]}, "NS552", "from 10.14 on"),
        ({"attention": "native", "precision": "fp32"}, "NS553", "`attention: primitive`"),
    ],
)
def test_options_that_cannot_be(options: dict[str, Any], code: str, words: str) -> None:
    with pytest.raises(NetspecError) as caught:
        deployed("dit", gpu=target() | options)
    (found,) = caught.value.diagnostics
    assert found.code == code and words in found.help[0]
    if code != "NS553":
        assert found.span is not None and found.path.startswith("targets.gpu.")


def test_native_attention_of_heads_without_kernel_names_the_line() -> None:
    native = {"exporter": "tensorrt", "precision": "fp16", "attention": "native", "outputs": ["decoded"]}
    heads = {"autoencoder.attention.num_heads": 8, "targets.gpu": native}  # of 4 channels
    with pytest.raises(NetspecError) as caught:
        deployments(api.lower(api.load(TINY / "autoencoder.yaml", set=heads)), ["gpu"])
    (found,) = caught.value.diagnostics
    assert found.code == "NS553" and "multiples of 8" in found.notes[0]
    assert "autoencoder.yaml:" in found.notes[1] and found.path.startswith("autoencoder")


def test_a_graph_that_the_gate_refuses_is_no_target(tmp_path: Path) -> None:
    (deployment,) = deployed("dit", gpu=target(memory="1KB"))
    with pytest.raises(ExportError, match=r"TensorRT 10\.3"):
        deployment.exporter.run(deployment.request, tmp_path)
    assert json.loads((tmp_path / "gate.json").read_text())["passed"] is False
