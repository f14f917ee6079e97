"""NS532: quantisation as TensorRT reads it: symmetric, with scales that are known when the engine is built."""

from __future__ import annotations

from collections.abc import Iterator

from exporters.tensorrt.gate.graph import Graph, Node
from exporters.tensorrt.gate.report import Finding
from exporters.tensorrt.gate.rules.case import Case

_PAIR = ("QuantizeLinear", "DequantizeLinear")
_TYPES = ("INT8", "FP8", "INT4", "FP4")
_OUTPUT_DTYPE = {3: "INT8", 17: "FP8", 22: "INT4", 23: "FP4"}  # of onnx.TensorProto


def check(case: Case) -> Iterator[Finding]:
    for node in case.graph.nodes:
        if node.domain == "" and node.op in _PAIR:
            for reason, remedy in _wrong(case.graph, node):
                yield node.finding("NS532", reason, remedy)


def _wrong(graph: Graph, node: Node) -> Iterator[tuple[str, str]]:
    quantised = _quantised(graph, node)
    if quantised not in _TYPES:
        remedy = "quantise symmetrically to int8 or float8e4m3fn, and say so with a zero point of that type"
        yield f"TensorRT quantises to {', '.join(_TYPES)}, not to {quantised}", remedy
    if not graph.is_constant(node.input(1)):
        yield "the scale is computed; TensorRT needs it when it builds the engine", "calibrate, and store the scale"
    else:
        scale = graph.constant(node.input(1))
        if scale is not None and not (scale > 0).all():
            yield "a scale is not above zero", "calibrate again: a channel was never active"
    if zero := node.input(2):
        numbers = graph.constant(zero)
        if numbers is None and not graph.is_constant(zero):
            yield "the zero point is computed; TensorRT takes zeros only", "quantise symmetrically"
        elif numbers is not None and (numbers.astype("float32") != 0).any():
            yield "the zero point is not 0; TensorRT quantises symmetrically", "quantise symmetrically"
    if node.op == "QuantizeLinear":
        others = [user.op for user in graph.users(node.outputs[0]) if user.op != "DequantizeLinear"]
        if others:
            yield f"what it quantised goes into {others[0]}", "put a DequantizeLinear after every QuantizeLinear"


def _quantised(graph: Graph, node: Node) -> str:
    """The type of the quantised side; without a zero point, ONNX's default is uint8."""
    if node.op == "DequantizeLinear":
        return graph.dtype(node.input(0))
    if node.input(2):
        return graph.dtype(node.input(2))
    stated = node.attributes.get("output_dtype", 0)
    return _OUTPUT_DTYPE.get(stated, f"type {stated}") if stated else "UINT8"
