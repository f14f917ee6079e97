"""NS535: 64-bit integers carry sizes, positions and labels; arithmetic on them is not what engines are made for."""

from __future__ import annotations

from collections.abc import Iterator

from exporters.tensorrt.gate.report import Finding
from exporters.tensorrt.gate.rules.case import Case

_ARITHMETIC = (
    "Abs", "Add", "ArgMax", "ArgMin", "Div", "Max", "Min", "Mod", "Mul", "Neg", "Pow", "ReduceMax", "ReduceMin",
    "ReduceProd", "ReduceSum", "ScatterElements", "ScatterND", "Sign", "Sub", "Sum", "TopK",
)  # fmt: skip


def check(case: Case) -> Iterator[Finding]:
    graph = case.graph
    for node, _ in case.imported:
        if node.op not in _ARITHMETIC or graph.dtype(node.input(0)) != "INT64":
            continue
        if not all(graph.is_resolvable(name) for name in node.inputs if name):  # arithmetic on sizes is free
            reason = f"{node.op} of 64-bit integers computes with data"
            yield node.finding("NS535", reason, "cast the data to int32 or a float first", "warning")
