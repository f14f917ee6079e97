"""NS522: TensorRT's parser imports every operator, in the form that the file's opset gives it."""

from __future__ import annotations

from collections.abc import Iterator

from exporters.tensorrt.gate.graph import Node
from exporters.tensorrt.gate.report import Finding
from exporters.tensorrt.gate.rules.case import Case


def check(case: Case) -> Iterator[Finding]:
    for node in case.graph.nodes:
        if found := _refused(case, node):
            yield node.finding("NS522", *found)


def _refused(case: Case, node: Node) -> tuple[str, str] | None:
    """(reason, remedy) where this version does not import the node."""
    version = case.version
    if node.domain:
        return (
            f"{node.domain}.{node.op} is not ONNX: TensorRT would look for a plugin of that name",
            "export in standard operators, such as the flavour `portable`",
        )
    operator = version.operators.get(node.op)
    if operator is None:
        known = "does not support" if node.op in version.unsupported else "does not know"
        return f"TensorRT's parser {known} {node.op}", "write it in operators that it imports"
    if not version.has(operator.since):
        remedy = f"build with TensorRT {operator.since} or newer, or export it in primitive operators"
        return f"{node.op} is imported from TensorRT {operator.since} on, not by {version.name}", remedy
    for opset, since in operator.forms.items():
        if case.graph.opset >= opset and not version.has(since):
            reason = f"{node.op} of opset {opset} and later is imported from TensorRT {since} on, not by {version.name}"
            return reason, f"export at an opset below {opset}, or in primitive operators"
    return None
