"""NS528: inputs that TensorRT needs when it builds the engine are constants, with values that it takes."""

from __future__ import annotations

from collections.abc import Iterator

from exporters.tensorrt.gate.graph import Node
from exporters.tensorrt.gate.report import Finding
from exporters.tensorrt.gate.rules.case import Case
from exporters.tensorrt.gate.rules.schemas import port
from exporters.tensorrt.gate.table import Operator

_REMEDY = "make it an initializer: run constant folding, or export with the value known"


def check(case: Case) -> Iterator[Finding]:
    for node, operator in case.imported:
        found = [*_unknown(case, node, operator), *_values(case, node, operator), *_dynamic(case, node, operator)]
        yield from (node.finding("NS528", reason, remedy) for reason, remedy in found)


def _unknown(case: Case, node: Node, operator: Operator) -> Iterator[tuple[str, str]]:
    graph = case.graph
    for index in operator.constant:
        if node.input(index) and not graph.is_constant(node.input(index)):
            yield f"{port(node, index, case.graph.opset)} of {node.op} must be an initializer; it is computed", _REMEDY
    for index in operator.resolvable:
        if node.input(index) and not graph.is_resolvable(node.input(index)):
            yield f"{port(node, index, case.graph.opset)} of {node.op} must be known when the engine is built", _REMEDY


def _values(case: Case, node: Node, operator: Operator) -> Iterator[tuple[str, str]]:
    if node.op in ("QuantizeLinear", "DequantizeLinear"):
        return  # rules/quantization.py says more
    for index, value in operator.equal.items():
        if name := node.input(index):
            numbers = case.graph.constant(name)
            if numbers is None or (numbers != value).any():
                yield (
                    f"{port(node, index, case.graph.opset)} of {node.op} must be the constant {value:g}",
                    "export for inference",
                )
    for index, bound in operator.below.items():
        numbers = case.graph.constant(node.input(index))
        if numbers is not None and (numbers >= bound).any():
            yield (
                f"{port(node, index, case.graph.opset)} of {node.op} must be below {bound}",
                f"ask for fewer than {bound}",
            )


def _dynamic(case: Case, node: Node, operator: Operator) -> Iterator[tuple[str, str]]:
    for index in operator.fixed:
        shape = case.graph.shape(node.input(index))
        if shape is not None and not all(isinstance(size, int) for size in shape):
            yield (
                f"{port(node, index, case.graph.opset)} of {node.op} must have fixed sizes",
                "export with static sizes",
            )
