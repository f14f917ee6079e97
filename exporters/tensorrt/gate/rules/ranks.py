"""NS529: inputs have as many dimensions as TensorRT implements."""

from __future__ import annotations

from collections.abc import Iterator

from exporters.tensorrt.gate.report import Finding
from exporters.tensorrt.gate.rules.case import Case
from exporters.tensorrt.gate.rules.schemas import port

MOST = 8  # dimensions of any tensor: nvinfer1::Dims::MAX_DIMS


def check(case: Case) -> Iterator[Finding]:
    graph = case.graph
    for node, operator in case.imported:
        for index, allowed in operator.ranks.items():
            shape = graph.shape(node.input(index)) if node.input(index) else None
            if shape is not None and len(shape) not in allowed:
                ranks = " or ".join(map(str, allowed))
                what = port(node, index, graph.opset)
                reason = f"{what} has {len(shape)} dimensions; TensorRT takes {node.op} of {ranks}"
                yield node.finding("NS529", reason, "reshape it, or write the operator out")
        for name in node.outputs:
            shape = graph.shape(name)
            if shape is not None and len(shape) > MOST:
                reason = f"its output has {len(shape)} dimensions; a tensor of TensorRT has at most {MOST}"
                yield node.finding("NS529", reason, "merge dimensions that are not told apart")
