"""NS530: only inputs and outputs that TensorRT's form of an operator has."""

from __future__ import annotations

from collections.abc import Iterator

from exporters.tensorrt.gate.report import Finding
from exporters.tensorrt.gate.rules.case import Case
from exporters.tensorrt.gate.rules.schemas import port, schema


def check(case: Case) -> Iterator[Finding]:
    for node, operator in case.imported:
        known = schema(node.op, case.graph.opset)
        outputs = [each.name for each in known.outputs] if known is not None else []
        for index in operator.without:
            if node.input(index):
                reason = f"TensorRT's {node.op} has no input {port(node, index, case.graph.opset)}"
                yield node.finding("NS530", reason, "export without it, or in primitive operators")
        for index, since in operator.inputs.items():
            if node.input(index) and not case.version.has(since):
                reason = (
                    f"input {port(node, index, case.graph.opset)} of {node.op} is imported from TensorRT {since} on"
                )
                yield node.finding("NS530", reason, "give every dimension its value instead")
        if operator.outputs is not None:
            for index, name in enumerate(node.outputs):
                if name and index >= operator.outputs:
                    reason = f"TensorRT's {node.op} has no output `{outputs[min(index, len(outputs) - 1)]}`"
                    yield node.finding("NS530", reason, "export for inference, without this output")
