"""NS536: sizes follow from the sizes of inputs, and the graph is straight."""

from __future__ import annotations

from collections.abc import Iterator

from exporters.tensorrt.gate.graph import Graph, Node
from exporters.tensorrt.gate.report import Finding
from exporters.tensorrt.gate.rules.case import Case

_FROM_DATA = ("NonZero", "NonMaxSuppression")
_BRANCHES = ("If", "Loop", "Scan")
_HEAVY = ("Attention", "Conv", "ConvTranspose", "Gemm", "MatMul", "Softmax")
_SHAPED_BY = {"Reshape": (1,), "Expand": (1,), "Tile": (1,), "ConstantOfShape": (0,), "Range": (0, 1, 2), "Pad": (1,)}


def check(case: Case) -> Iterator[Finding]:
    graph = case.graph
    for node in graph.nodes:
        if node.op in _FROM_DATA:
            reason = f"how large the output of {node.op} is depends on data: memory is planned at run time"
            yield node.finding("NS536", reason, "write it with a mask of fixed size", "warning")
        if node.op in _HEAVY and (around := next((op for op in node.scope if op in _BRANCHES), "")):
            reason = f"{node.op} lies inside {around}, across which TensorRT fuses nothing"
            yield node.finding("NS536", reason, "export the branch that is taken, or the loop written out")
        elif node.op in _BRANCHES:
            reason = f"{node.op} is control flow, which an engine runs in pieces"
            yield node.finding("NS536", reason, "export with the decision made", "warning")
        if name := _unresolved(graph, node):
            reason = f"`{name}` is computed from data and decides a size"
            yield node.finding("NS536", reason, "let sizes follow from the sizes of inputs", "warning")


def _unresolved(graph: Graph, node: Node) -> str:
    """The operand that decides a size and is computed from data."""
    names = [node.input(index) for index in _SHAPED_BY.get(node.op, ())]
    return next((name for name in names if name and not graph.is_resolvable(name)), "")
