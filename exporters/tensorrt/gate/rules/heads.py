"""NS531: an `Attention` node has heads that a fused kernel takes, as TensorRT does not take it apart otherwise."""

from __future__ import annotations

from collections.abc import Iterator

from exporters.tensorrt.gate.report import Finding
from exporters.tensorrt.gate.rules.case import Case

_REMEDY = "export attention in primitive operators, which TensorRT fuses where it can"


def check(case: Case) -> Iterator[Finding]:
    version = case.version
    rule = f"fused kernels take heads of up to {version.largest_head}, in multiples of {version.head_multiple}"
    for node, _ in case.imported:
        if node.op != "Attention":
            continue
        for index in (0, 2):  # queries and keys share theirs; values have their own
            shape = case.graph.shape(node.input(index))
            if shape is not None and len(shape) != 4:
                break  # rules/ranks.py refuses it
            size = shape[-1] if shape else None
            if not isinstance(size, int):
                reason = f"the head size is not known; {rule}"
                yield node.finding("NS531", reason, "export with a fixed head size", "warning")
            elif size > version.largest_head or size % version.head_multiple:
                reason = f"heads of {size} have no fused kernel, and Attention is not taken apart: {rule}"
                yield node.finding("NS531", reason, _REMEDY)
                break
