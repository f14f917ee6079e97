"""The TensorRT gate: one file for each fault, files that pass, our exports, and one that torch.onnx gets wrong."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest

from exporters.tensorrt.gate import gate
from exporters.tensorrt.gate.rules import RULES
from exporters.tensorrt.gate.table import version
from netspec import api, readiness
from netspec.compiler import Options, compile
from netspec.errors import UsageError
from tests.gate_files import FAULTS, GOOD, PROFILE, Fault, Judge, attention, errors, judging, parsed, quantised

ROOT = Path(__file__).parent.parent


@pytest.fixture
def judge(tmp_path: Path) -> Judge:
    return judging(tmp_path)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_fault_is_found_where_it_is(fault: Fault, judge: Judge) -> None:
    found = judge(fault.graph, fault.opset, fault.domains, version=fault.version)
    (finding, *_) = [each for each in found.findings if each.code == fault.code and fault.reason in each.reason]
    assert (finding.where, finding.level) == (fault.where, fault.level)
    assert finding.remedy
    assert found.passed == (fault.level == "warning")


def test_every_rule_has_a_fault() -> None:
    elsewhere = {"NS520", "NS533", "NS534", "NS540"}  # below: they are no matter of the graph alone
    rules = ROOT / "exporters" / "tensorrt" / "gate"
    raised = {code for path in rules.rglob("*.py") for code in re.findall(r'"(NS5[234]\d)"', path.read_text())}
    usage = {"NS545", "NS546", "NS547"}
    assert {fault.code for fault in FAULTS} == raised - elsewhere - usage - {"NS542"}
    assert len(RULES) == len([path for path in (rules / "rules").glob("*.py") if "def check(" in path.read_text()])


@pytest.mark.parametrize("name", ["10.0", "10.3", "10.6", "10.14", "10.15", "11", "11.4", "tensorrt-11"])
def test_a_good_file_passes(name: str, judge: Judge) -> None:
    found = judge(GOOD, version=name, profile=PROFILE)
    assert found.findings == ()
    assert found.passed


@pytest.mark.parametrize(
    ("graph", "opset", "name"),
    [
        (attention(), 23, "10.14"),
        (attention(256), 23, "11"),
        (quantised(), 20, "10.3"),
        (
            "(float[1, 4, 2] x, float[4] s) => (float[1, 4, 2] y) { y = GroupNormalization<num_groups = 2>(x, s, s) }",
            21,
            "10.15",
        ),
        ("(bfloat16[1, 2, 4, 4] x, bfloat16[2, 2, 1, 1] w) => (bfloat16[1, 2, 4, 4] y) { y = Conv(x, w) }", 22, "11"),
        (
            "(float[1, 1, 2, 2, 2] x, float[1, 2, 2, 2, 3] g) => (float[1, 1, 2, 2, 2] y) { y = GridSample(x, g) }",
            20,
            "11.2",
        ),
        ("(float[2] x) => (float[2] y) { y = Swish(x) }", 24, "11.0"),
        ("(float[2, 3] x) => (float[2, 1] y) { a = Constant<value_ints = [1]>() y = ReduceSum(x, a) }", 20, "10.3"),
        ("(float16[2] x, float[2] a) => (float16[2] y) { b = Cast<to = 10>(a) y = Add(x, b) }", 20, "11"),
        ("(int64[2] y, float[10, 4] w) => (float[2, 4] e) { e = Gather(w, y) }", 20, "10.3"),
    ],
)  # fmt: skip
def test_what_the_rules_allow(graph: str, opset: int, name: str, judge: Judge) -> None:
    assert judge(graph, opset, version=name).findings == ()


def test_arithmetic_on_sizes_is_no_arithmetic_on_data(judge: Judge) -> None:
    graph = """(float[n, 4] x) => (float[m] y) <int64[1] two = {2}, int64[1] i = {0}>
    { s = Shape(x) a = Gather(s, i) b = Mul(a, two) c = Mul(b, two) y = Reshape(x, c) }"""
    assert judge(graph, profile=PROFILE).findings == ()


def test_branches_may_use_the_same_names(judge: Judge) -> None:
    graph = """(bool[1] c, float[2] x) => (float[2] y)
    { y = If(c) <then_branch = t () => (float[2] a) { a = Relu(x) },
                 else_branch = e () => (float[2] a) { a = Abs(x) }> }"""
    assert [(each.code, each.level) for each in judge(graph).findings] == [("NS536", "warning")]


def test_a_type_that_nobody_knows(judge: Judge) -> None:
    model = parsed(
        "(float[2] x) => (float[2] y) { a = Relu(x) b, c = Split<num_outputs = 2>(a) y = Concat<axis = 0>(b, c) }"
    )
    model.graph.node[0].op_type = "ImageScaler"  # known to TensorRT, no longer to ONNX
    codes = [(each.code, each.where) for each in judge(model).findings]
    assert ("NS542", "a") in codes
    assert ("NS542", "b") not in codes  # follows from it


# Versions


@pytest.mark.parametrize("name", ["9", "8.6", "12", "11.9", "eleven", "tensorrt", "", "10.", "10.3.x"])
def test_unknown_versions(name: str) -> None:
    with pytest.raises(UsageError, match="NS545"):
        version(name)


def test_names_of_versions() -> None:
    assert [version(name).name for name in ("10", "11", "tensorrt-10.3", "10.3.0.30")] == [
        "10.3",
        "11.1",
        "10.3",
        "10.3.0.30",
    ]
    assert [version(name).newest_opset for name in ("10.3", "10.6", "10.14", "11")] == [20, 22, 23, 24]


# Reports


def test_the_same_file_gives_the_same_words(judge: Judge) -> None:
    found = judge(GOOD, profile=PROFILE)
    assert found.json() == judge(GOOD, profile=PROFILE).json()
    data = json.loads(found.json())
    assert data["target"] == "tensorrt-11.1"
    assert data["facts"]["nodes"] == {"Add": 1, "Relu": 1}
    assert data["facts"]["types"] == {"FP16": 4}


def test_one_reason_is_told_once(judge: Judge) -> None:
    nodes = " ".join(f"y{i} = Mish(x)" for i in range(9)).replace("Mish", "Det")
    outputs = ", ".join(f"float y{i}" for i in range(9))
    text = judge(f"(float[2, 2] x) => ({outputs}) {{ {nodes} }}").text()
    assert text.count("does not support Det") == 1
    assert "and 6 more" in text


def test_nodes_in_functions_are_judged(judge: Judge) -> None:
    text = """<ir_version: 10, opset_import: ["": 20, "local": 1]> g (float[2, 2] x) => (float y) { y = local.f(x) }
    <domain: "local", opset_import: ["": 20]> f (a) => (b) { b = Det(a) }"""
    (finding,) = errors(judge(onnx.parser.parse_model(text)))
    assert (finding.code, finding.op) == ("NS522", "Det")


def test_a_finding_names_the_line_of_the_spec(judge: Judge) -> None:
    model = parsed("(float[2, 2] x) => (float y) { y = Det(x) }")
    for key, value in {"netspec.path": "unet.mid", "netspec.source": "a.yaml:7"}.items():
        model.graph.node[0].metadata_props.add(key=key, value=value)
    found = judge(model)
    assert "Det `y`, unet.mid (a.yaml:7)" in found.text()
    (diagnostic,) = found.diagnostics()
    assert (diagnostic.code, diagnostic.path) == ("NS522", "unet.mid")
    assert "a.yaml:7" in diagnostic.notes[0]


# Exports of ours and of others


@pytest.fixture(scope="session")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Path]:
    """A tiny spec in portable operators; there are no weights, and none are needed."""

    def export(name: str, precision: str) -> Path:
        folder = tmp_path_factory.mktemp("bundle") / "bundle"
        target = {"exporter": "onnx", "flavour": "portable", "precision": precision}
        spec = api.load(ROOT / "specs" / "tiny" / f"{name}.yaml", set={"targets.portable": target})
        compile(spec, folder, Options(weights="none", targets=("portable",)))
        (path,) = folder.rglob("*.onnx")
        return path

    return export


@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
@pytest.mark.parametrize("name", ["unet", "dit", "mmdit", "autoencoder"])
def test_our_portable_exports_pass(name: str, precision: str, exports: Callable[[str, str], Path]) -> None:
    path = exports(name, precision)
    for wanted in ("10.3", "11"):
        found = gate(path, wanted)
        assert found.passed, found.text()
        assert not [each for each in found.findings if each.code in ("NS535", "NS536", "NS541")], found.text()


@pytest.mark.filterwarnings("ignore")
def test_bfloat16_of_torch_onnx_at_opset_20_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("onnxscript", reason="torch.onnx's exporter needs it")
    import torch
    from torch import nn

    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.SiLU(), nn.Conv2d(8, 3, 1)).bfloat16().eval()
    image = torch.zeros(1, 3, 8, 8, dtype=torch.bfloat16)
    torch.onnx.export(model, (image,), tmp_path / "model.onnx", dynamo=True, opset_version=20, verbose=False)
    for wanted in ("10.3", "11"):
        found = errors(gate(tmp_path / "model.onnx", wanted))
        assert {(each.code, each.op) for each in found} == {("NS524", "Conv")}
        assert {each.reason for each in found} == {"BF16 Conv exists from opset 22 on; the file says opset 20"}


# The command


def netspec(*arguments: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-c", "from netspec.cli import main; main()", *arguments]
    return subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=60)


def test_command(tmp_path: Path) -> None:
    path = tmp_path / "graph.onnx"
    onnx.save(parsed(GOOD), path)
    done = netspec("gate", str(path), "--format", "json")
    assert (done.returncode, done.stderr) == (0, "")
    assert [each["target"] for each in json.loads(done.stdout)] == ["tensorrt-10.3", "tensorrt-11.1"]
    path.write_bytes(b"garbage")
    done = netspec("gate", str(path), "--for", "tensorrt-11")
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.startswith("FAIL  graph.onnx for TensorRT 11.1\nerror[NS520]: ")


@pytest.mark.parametrize("target", ["tensorrt", "tensorrt-", "tensorflow-2", "-11"])
def test_a_target_is_a_runtime_and_a_version(target: str) -> None:
    with pytest.raises(UsageError, match="NS548"):
        readiness.find(target)


def test_the_gate_needs_no_torch() -> None:
    script = "import sys, exporters.tensorrt.gate; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stdout == "False\n"
