"""Attention in primitive operators: MatMul, Softmax, MatMul. Where a fused kernel takes it, scores are never written.

TensorRT documents the pattern ("Fused Attention", method 2): between the two products a scale, a mask, casts and
reshapes; half precision; heads as in operators.yaml.
"""

from __future__ import annotations

from exporters.tensorrt.gate.graph import Graph, Node
from exporters.tensorrt.gate.table import Version

_BEFORE = ("Add", "Mul", "Div", "Cast", "Where", "Reshape", "Identity")
_AFTER = ("Cast", "Reshape", "Identity", "Dropout", "Where")
_HALVES = ("FP16", "BF16")


def unwritten(graph: Graph, version: Version) -> set[str]:
    """The values inside attention that fusion keeps out of memory."""
    found: set[str] = set()
    for node in graph.nodes:
        if node.op == "Softmax":
            found |= _inside(graph, node, version)
    return found


def _inside(graph: Graph, softmax: Node, version: Version) -> set[str]:
    first, before = _backwards(graph, softmax.input(0))
    last, after = _forwards(graph, softmax.outputs[0])
    if first is None or not last or not _has_kernel(graph, first, version):
        return set()
    return before | after


def _backwards(graph: Graph, name: str) -> tuple[Node | None, set[str]]:
    """The product that scores come from, and the values on the way."""
    node = graph.producers.get(name)
    if node is None:
        return None, set()
    if node.op == "MatMul":
        return node, {name}
    if node.op in _BEFORE:
        for source in node.inputs:
            product, passed = _backwards(graph, source)
            if product is not None:
                return product, passed | {name}
    return None, set()


def _forwards(graph: Graph, name: str) -> tuple[bool, set[str]]:
    """Whether weights go into products and nowhere else, and the values on the way."""
    users = graph.users(name)
    passed = {name}
    for user in users:
        if user.op == "MatMul":
            continue
        if user.op not in _AFTER:
            return False, set()
        ends, more = _forwards(graph, user.outputs[0])
        if not ends:
            return False, set()
        passed |= more
    return bool(users), passed


def _has_kernel(graph: Graph, product: Node, version: Version) -> bool:
    shape = graph.shape(product.input(0))
    head = shape[-1] if shape else None
    fits = isinstance(head, int) and head <= version.largest_head and head % version.head_multiple == 0
    return fits and graph.dtype(product.input(0)) in _HALVES
