"""NS524: every operator takes its inputs' types at the file's opset, by ONNX's own standard.

bfloat16 is the classic: convolutions, InstanceNormalization, Sin and Cos take it from opset 22 on.
"""

from __future__ import annotations

from collections.abc import Iterator

from exporters.tensorrt.gate.graph import Graph, Node
from exporters.tensorrt.gate.report import Finding
from exporters.tensorrt.gate.rules.case import Case
from exporters.tensorrt.gate.rules.schemas import first_opset, formals, port, takes


def check(case: Case) -> Iterator[Finding]:
    for node in case.graph.nodes:
        if found := _refused(case.graph, node):
            yield node.finding("NS524", *found)


def _refused(graph: Graph, node: Node) -> tuple[str, str] | None:
    for index, type_str, _ in formals(node, graph.opset) if not node.domain else ():
        dtype = graph.dtype(node.input(index))
        if not dtype or takes(node.op, graph.opset, type_str, dtype):
            continue
        first = first_opset(node.op, graph.opset, type_str, dtype)
        if first is None:
            name = port(node, index, graph.opset)
            return f"ONNX has no {node.op} whose {name} is {dtype}", "cast the input to a type that it takes"
        return (
            f"{dtype} {node.op} exists from opset {first} on; the file says opset {graph.opset}",
            f"export at opset {first} or later",
        )
    return None
