"""What lies around a graph: its file, weights beside it, a profile, a GPU's memory."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from exporters.tensorrt.gate import gate
from exporters.tensorrt.gate.graph import Graph
from exporters.tensorrt.gate.profile import Profile, largest
from netspec.errors import UsageError
from tests.gate_files import GOOD, PROFILE, Judge, errors, judging, parsed


@pytest.fixture
def judge(tmp_path: Path) -> Judge:
    return judging(tmp_path)


# Files


@pytest.mark.parametrize("content", [b"", b"not a model", b"\x08\x0a", None], ids=["empty", "text", "bare", "absent"])
def test_garbage_is_a_finding(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "garbage.onnx"
    if content is not None:
        path.write_bytes(content)
    found = gate(path)
    assert [each.code for each in found.findings] == ["NS520"]
    assert str(tmp_path) not in found.json() + found.text()


def test_a_truncated_file_is_a_finding(tmp_path: Path) -> None:
    whole = parsed(GOOD).SerializeToString()
    for end in range(1, len(whole), 7):
        (tmp_path / "cut.onnx").write_bytes(whole[:end])
        assert not gate(tmp_path / "cut.onnx").passed or end > 0.9 * len(whole)


def test_names_that_are_no_text(tmp_path: Path) -> None:
    content = parsed(GOOD).SerializeToString()
    (tmp_path / "graph.onnx").write_bytes(content.replace(b"Relu", b"Rel\xff"))
    (finding,) = gate(tmp_path / "graph.onnx").findings
    assert (finding.code, finding.reason) == ("NS520", "not an ONNX model: a name in it is no text")


def external(entries: Mapping[str, str], name: str = "w") -> onnx.ModelProto:
    """A graph with one weight of two floats in a file of its own."""
    weight = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[2], data_location=TensorProto.EXTERNAL)
    for key, value in entries.items():
        weight.external_data.add(key=key, value=value)
    ports = [helper.make_tensor_value_info(each, TensorProto.FLOAT, [2]) for each in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Add", ["x", name], ["y"])], "g", ports[:1], ports[1:], [weight])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


WHOLE = {"location": "w.bin", "offset": "0", "length": "8"}


@pytest.mark.parametrize(
    ("entries", "reason"),
    [
        (WHOLE | {"basepath": "."}, "key `basepath`"),
        ({"location": "w.bin", "offset": "0"}, "length is missing"),
        (WHOLE | {"length": "4"}, "length is 4 bytes; its type and size make 8"),
        (WHOLE | {"offset": "-1"}, "offset is no whole number"),
        (WHOLE | {"location": "../w.bin"}, "outside the graph's folder"),
        (WHOLE | {"location": "/etc/w.bin"}, "outside the graph's folder"),
        (WHOLE | {"location": "C:\\w.bin"}, "outside the graph's folder"),
        (WHOLE | {"offset": "256"}, "ends at byte 8; the graph reads up to 264"),
    ],
)
def test_external_data(entries: dict[str, str], reason: str, judge: Judge, tmp_path: Path) -> None:
    (tmp_path / "w.bin").write_bytes(bytes(8))
    (finding,) = errors(judge(external(entries)))
    assert finding.code == "NS533"
    assert reason in finding.reason
    assert finding.where in ("w", "w.bin")


def test_external_data_that_is_right(judge: Judge, tmp_path: Path) -> None:
    (tmp_path / "w.bin").write_bytes(bytes(8))
    assert judge(external(WHOLE)).findings == ()
    (tmp_path / "w.bin").write_bytes(bytes(72))
    (finding,) = judge(external(WHOLE | {"offset": "64"})).findings
    assert (finding.code, finding.level) == ("NS534", "warning")


def test_links_and_absent_weights(judge: Judge, tmp_path: Path) -> None:
    (finding,) = judge(external(WHOLE)).findings
    assert (finding.code, finding.level) == ("NS533", "warning")
    (tmp_path / "real.bin").write_bytes(bytes(8))
    (tmp_path / "w.bin").symlink_to("real.bin")
    (finding,) = judge(external(WHOLE)).findings
    assert (finding.code, finding.level) == ("NS533", "error")
    assert "link" in finding.reason


# Profiles and memory


@pytest.mark.parametrize(
    ("sizes", "reason"),
    [
        ({"a": [[1], [1], [1]]}, "does not have"),
        ({}, "no sizes for this input"),
        ({"x": [[1], [1], [1]]}, "1 sizes for an input of 2 dimensions"),
        ({"x": [[4, 4], [2, 4], [8, 4]]}, "not in order: 4, 2, 8"),
        ({"x": [[1, 4], [2, 4], [8, 5]]}, "fixes a size at 4"),
    ],
)
def test_profiles_that_do_not_fit(sizes: Mapping[str, Sequence[list[int]]], reason: str, judge: Judge) -> None:
    profile = {name: dict(zip(("min", "opt", "max"), points, strict=True)) for name, points in sizes.items()}
    found = errors(judge(GOOD, profile=profile))
    assert found[0].code == "NS537"
    assert reason in found[0].reason


def test_profile_beside_the_file(judge: Judge, tmp_path: Path) -> None:
    (tmp_path / "profile.json").write_text(json.dumps(PROFILE))
    facts = judge(GOOD).facts["at_max"]
    assert facts["largest"] == {"name": "x", "shape": [8, 4], "elements": 32}
    assert facts["memory"]["activations"] == (3 * 32 + 4) * 2  # x, a and y; b
    for text in (
        "{",
        '{"x": 1}',
        '{"x": {"min": [1, 4], "opt": [1, 4]}}',
        '{"x": {"min": ["a"], "opt": [1], "max": [1]}}',
    ):
        (tmp_path / "profile.json").write_text(text)
        with pytest.raises(UsageError, match="NS546"):
            judge(GOOD)


@pytest.mark.parametrize(("stated", "passes"), [("1KB", True), (1000, True), ("0.25 KiB", True), ("100", False)])
def test_memory(stated: int | str, passes: bool, judge: Judge) -> None:
    found = judge(GOOD, profile=PROFILE, memory=stated)
    assert found.passed is passes
    assert passes or errors(found)[0].code == "NS540"


@pytest.mark.parametrize("stated", ["much", "3 PB", "-1GB", ""])
def test_memory_that_is_none(stated: str, judge: Judge) -> None:
    with pytest.raises(UsageError, match="NS547"):
        judge(GOOD, memory=stated)


def scores(head: int, dtype: str = "float16") -> str:
    """Attention of 65536 tokens in primitive operators, the softmax in float32."""
    back = TensorProto.FLOAT16 if dtype == "float16" else TensorProto.FLOAT
    tokens = f"{dtype}[1, 65536, {head}]"
    return f"""({tokens} q, {dtype}[1, {head}, 65536] k) => ({tokens} y)
    {{ s = MatMul(q, k) c = Cast<to = 1>(s) p = Softmax(c) d = Cast<to = {back}>(p) y = MatMul(d, q) }}"""


def test_scores_of_fused_attention_are_never_written(judge: Judge) -> None:
    """65536 x 65536 scores are more than TensorRT counts; fused attention of halves keeps them on the chip."""
    assert judge(scores(64)).passed
    assert judge(scores(64)).facts["at_max"]["memory"]["activations"] == 3 * 2 * 65536 * 64
    assert {each.code for each in errors(judge(scores(512)))} == {"NS539"}  # no kernel for such heads
    assert {each.code for each in errors(judge(scores(64, "float")))} == {"NS539"}


def test_sizes_are_told_by_inference_where_the_file_does_not_say(judge: Judge) -> None:
    graph = "(float[n, 4] x) => (float[m, k] y) <int64[2] s = {2, -1}> { y = Reshape(x, s) }"
    assert judge(graph, profile=PROFILE).facts["at_max"]["largest"]["elements"] == 32


def test_sizes_are_formulas_of_the_inputs_names() -> None:
    model = parsed("(float[n, 4] x) => (float[m, 4] y) { y = Relu(x) }")
    model.graph.output[0].type.tensor_type.shape.dim[0].dim_param = "floor(3*n/2) - max(n, 2) + (n - 1)//7"
    at = largest(Graph(model), Profile.of(PROFILE))
    assert at is not None
    assert at.shapes["y"] == (12 - 8 + 1, 4)


def test_large_weights_are_not_read(judge: Judge) -> None:
    """They are judged by name, type and size; a small constant is read."""
    model = parsed("(float[2] x) => (float[2] y) { y = Add(x, w) }")
    model.graph.initializer.append(numpy_helper.from_array(np.zeros(2, np.float32), "w"))
    assert judge(model).findings == ()
