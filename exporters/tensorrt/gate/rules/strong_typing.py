"""NS526: operands have one type. A strongly typed network, the only kind from TensorRT 11 on, casts nothing itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from exporters.tensorrt.gate.graph import FLOATS, Graph, Node
from exporters.tensorrt.gate.report import Finding
from exporters.tensorrt.gate.rules.case import Case
from exporters.tensorrt.gate.rules.schemas import formals, port


def check(case: Case) -> Iterator[Finding]:
    graph = case.graph
    for node, operator in case.imported:
        mixed = [_types(graph, node, group) for group in _shared(graph, node)]
        floats = _types(graph, node, operator.same)
        mixed.append({dtype: index for dtype, index in floats.items() if dtype in FLOATS})
        for types in mixed:
            if len(types) > 1:
                each = (f"{port(node, index, graph.opset)} is {dtype}" for dtype, index in types.items())
                reason = f"operands differ in type: {' and '.join(each)}; a strongly typed network casts nothing itself"
                yield node.finding("NS526", reason, "put a Cast before one of them")
                break


def _types(graph: Graph, node: Node, indices: Iterable[int]) -> dict[str, int]:
    """The types of some inputs, with the first input of each."""
    found: dict[str, int] = {}
    for index in indices:
        if dtype := graph.dtype(node.input(index)):
            found.setdefault(dtype, index)
    return found


def _shared(graph: Graph, node: Node) -> list[list[int]]:
    """Inputs that ONNX wants in one type."""
    groups: dict[str, list[int]] = {}
    for index, type_str, homogeneous in formals(node, graph.opset) if not node.domain else ():
        if homogeneous:
            groups.setdefault(type_str, []).append(index)
    return list(groups.values())
