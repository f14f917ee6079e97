"""ONNX graphs as text, for the gate: those with one fault each are in gate_faults.yaml."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import onnx
import yaml

from exporters.tensorrt.gate import Finding, Gate, gate

GOOD = "(float16[n, 4] x, float16[4] b) => (float16[n, 4] y) { a = Relu(x) y = Add(a, b) }"
PROFILE = {"x": {"min": [1, 4], "opt": [2, 4], "max": [8, 4]}}

Judge: TypeAlias = Callable[..., Gate]


def parsed(graph: str, opset: int = 20, domains: str = "") -> onnx.ModelProto:
    """A model from ONNX's text form: `(float[n, 3] x) => (float[n, 3] y) { y = Relu(x) }`."""
    return onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["": {opset}{domains}]> g {graph}')


@dataclass(frozen=True)
class Fault:
    """A graph, and what the gate must say of it."""

    name: str
    code: str
    where: str
    reason: str
    level: str
    graph: str
    opset: int
    domains: str
    version: str


def _fault(entry: dict[str, Any]) -> Fault:
    usual = {"where": "", "level": "error", "opset": 20, "domains": "", "for": "11"}
    given = usual | entry
    return Fault(version=given.pop("for"), **given)


FAULTS = [_fault(each) for each in yaml.safe_load(Path(__file__).with_name("gate_faults.yaml").read_text())]


def attention(head: int = 64) -> str:
    """Attention-23 of four heads, as TensorRT takes it."""
    shape = f"float16[2, 4, 8, {head}]"
    return f"({shape} q) => ({shape} y) {{ y = Attention(q, q, q) }}"


def quantised() -> str:
    """A pair of quantisation, symmetric in int8."""
    body = "q = QuantizeLinear(x, s, z) y = DequantizeLinear(q, s, z)"
    return f"(float[2] x) => (float[2] y) <float s = {{0.1}}, int8 z = {{0}}> {{ {body} }}"


def judging(folder: Path) -> Judge:
    """`judge(GOOD, profile=PROFILE)`: the verdict on a graph as text, or on a model; its file lies in `folder`."""

    def judge(graph: str | onnx.ModelProto, opset: int = 20, domains: str = "", **options: Any) -> Gate:
        path = folder / "graph.onnx"
        onnx.save(graph if isinstance(graph, onnx.ModelProto) else parsed(graph, opset, domains), path)
        return gate(path, **options)

    return judge


def errors(found: Gate) -> list[Finding]:
    return [each for each in found.findings if each.level == "error"]
