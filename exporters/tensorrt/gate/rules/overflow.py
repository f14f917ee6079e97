"""NS541: half-precision forms that are known to go wrong, though they run."""

from __future__ import annotations

from collections.abc import Iterator

from exporters.tensorrt.gate.graph import Graph, Node, elements
from exporters.tensorrt.gate.report import Finding
from exporters.tensorrt.gate.rules.case import Case

LARGEST = 65504  # of float16
_SUMS = ("ReduceSum", "ReduceMean", "ReduceL1", "ReduceL2", "ReduceSumSquare", "GlobalAveragePool")


def check(case: Case) -> Iterator[Finding]:
    graph = case.graph
    for node in graph.nodes:
        dtype = graph.dtype(node.input(0)) if node.inputs else ""
        if node.op == "Resize" and dtype == "BF16":
            yield node.finding("NS541", "bfloat16 Resize is slow or missing", "cast to float32 around it", "warning")
        if dtype != "FP16" or node.op not in _SUMS:
            continue
        if _squares(graph, node.input(0)):
            reason = "squares are summed in float16, which overflows from 256 on"
            yield node.finding("NS541", reason, "compute the statistics in float32", "warning")
        elif (count := _summed(case, node)) > LARGEST:
            reason = f"{count:,} numbers are summed in float16, whose largest is {LARGEST:,}"
            yield node.finding("NS541", reason, "compute the sum in float32", "warning")


def _squares(graph: Graph, name: str) -> bool:
    """Whether a value is x * x or x ** 2."""
    node = graph.producers.get(name)
    if node is None or node.op not in ("Mul", "Pow"):
        return False
    if node.op == "Mul":
        return node.input(0) == node.input(1)
    power = graph.constant(node.input(1))
    return power is not None and bool((power == 2).all())


def _summed(case: Case, node: Node) -> int:
    """How many numbers go into each sum, at the profile's max where it is known; 0 where it is not."""
    known = case.at.shapes if case.at is not None else {}
    before, after = (known.get(name) or _fixed(case.graph, name) for name in (node.input(0), node.outputs[0]))
    return elements(before) // max(elements(after), 1) if before and after is not None else 0


def _fixed(graph: Graph, name: str) -> tuple[int, ...] | None:
    shape = graph.shape(name)
    if shape is None or not all(isinstance(size, int) for size in shape):
        return None
    return tuple(size for size in shape if isinstance(size, int))
