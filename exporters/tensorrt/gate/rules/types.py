"""NS525: TensorRT takes the type of every data input."""

from __future__ import annotations

from collections.abc import Iterator

from exporters.tensorrt.gate.graph import Graph, Node
from exporters.tensorrt.gate.report import Finding
from exporters.tensorrt.gate.rules.case import Case
from exporters.tensorrt.gate.rules.schemas import formals, port
from exporters.tensorrt.gate.table import Operator

_PORTS = ("FP32", "FP16", "BF16", "INT64", "INT32", "INT8", "UINT8", "BOOL", "FP8")
_REMEDIES = {
    "FP64": "export in float32: TensorRT would cut doubles down to it",
    "STRING": "leave text out of the graph",
    "INT8": "8 bits enter through QuantizeLinear and leave through DequantizeLinear",
    "FP8": "8 bits enter through QuantizeLinear and leave through DequantizeLinear",
    "UINT8": "cast it to a float or an int32 right after the input",
}


def check(case: Case) -> Iterator[Finding]:
    graph = case.graph
    for name, kind in graph.inputs.items():
        if kind.dtype not in _PORTS:
            yield Finding("NS525", name, f"an input cannot be {kind.dtype}", _remedy(kind.dtype))
    for node, operator in case.imported:
        for name, what in _data(graph, node, operator):
            dtype = graph.dtype(name)
            if dtype and dtype not in operator.types:
                reason = f"TensorRT takes {node.op} in {', '.join(operator.types)}; {what} is {dtype}"
                yield node.finding("NS525", reason, _remedy(dtype))
                break


def _data(graph: Graph, node: Node, operator: Operator) -> Iterator[tuple[str, str]]:
    """The values that the table's types speak of, and what to call them: inputs that share the type of the data."""
    if operator.data == "none":
        return
    if operator.data == "output":
        yield from ((name, "it") for name in node.outputs[:1])
        return
    kinds = {index: type_str for index, type_str, _ in formals(node, graph.opset)}
    for index, type_str in kinds.items():
        if type_str == kinds.get(operator.data):
            yield node.input(index), port(node, index, graph.opset)


def _remedy(dtype: str) -> str:
    return _REMEDIES.get(dtype, "cast it to a type that TensorRT takes")
