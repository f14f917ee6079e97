"""NS523: the parser knows the file's opset."""

from __future__ import annotations

from collections.abc import Iterator

from exporters.tensorrt.gate.graph import Node
from exporters.tensorrt.gate.report import Finding
from exporters.tensorrt.gate.rules.case import Case
from exporters.tensorrt.gate.rules.schemas import schema


def check(case: Case) -> Iterator[Finding]:
    """An opset that is newer than documented is no obstacle in itself: parsers read it, as they have no upper bound.

    What matters is whether each node means the same at the newest documented opset: every attribute and input that is
    used exists there, too. Types that came later are read as well; of later operators, rules/operators.py knows.
    """
    version, graph = case.version, case.graph
    if graph.opset < version.oldest_opset:
        reason = f"opset {graph.opset} is older than {version.oldest_opset}, the oldest that TensorRT imports"
        yield Finding("NS523", "", reason, "export at opset 17 or later")
    if graph.opset <= version.newest_opset:
        return
    newest = version.newest_opset
    documented = f"TensorRT {version.name} documents opsets up to {newest} ({version.source})"
    changed = [(node, why) for node, _ in case.imported if (why := _changed(node, newest))]
    for node, why in changed:
        yield node.finding(
            "NS523", f"{why}; the file says {graph.opset}, and {documented}", f"export at opset {newest}"
        )
    if not changed and len(case.imported) == len(graph.nodes):
        reason = f"opset {graph.opset} is not documented: {documented}; what the file uses differs in types only"
        remedy = f"nothing, or export at opset {newest} where the types allow it"
        yield Finding("NS523", "", reason, remedy, "warning")


def _changed(node: Node, newest: int) -> str:
    """How a node differs from anything that the newest documented opset could say."""
    known = schema(node.op, newest)
    if known is None:  # of ONNX's experimental past: the parser goes by the name
        return ""
    if new := sorted(node.attributes.keys() - known.attributes.keys()):
        return f"`{new[0]}` of {node.op} came after opset {newest}"
    if len(node.inputs) > known.max_input:
        return f"input {known.max_input} of {node.op} came after opset {newest}"
    return ""
