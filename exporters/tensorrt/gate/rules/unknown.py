"""NS542: the type of every value is known, or nothing above was proven of it."""

from __future__ import annotations

from collections.abc import Iterator

from exporters.tensorrt.gate.report import Finding
from exporters.tensorrt.gate.rules.case import Case


def check(case: Case) -> Iterator[Finding]:
    graph = case.graph
    unknown = [name for name in graph.values if not graph.dtype(name)]
    for name in unknown:
        node = graph.producers[name]
        sources = [source for source in node.inputs if source in graph.producers or source in graph.inputs]
        if node.domain == "" and all(graph.dtype(source) for source in sources):  # the first of a chain, not all of it
            reason = f"the type of `{name}` is neither written in the file nor to be inferred"
            yield node.finding("NS542", reason, "run onnx.shape_inference, or export with value types")
