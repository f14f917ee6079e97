"""Where in a graph the layers are that can be quantised."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import onnx_ir as ir


@dataclass(frozen=True)
class Site:
    """One use of a layer: the node that multiplies, and where its weight enters, itself or a transpose before it."""

    path: str
    node: ir.Node
    weight: ir.Value
    entry: tuple[ir.Node, int]

    @property
    def read(self) -> ir.Value:
        value = self.node.inputs[0]
        assert value is not None  # convolutions and products have operands
        return value

    @property
    def source(self) -> ir.Value:
        """What it reads, before the tokens of all samples were put into one row."""
        producer = self.read.producer()
        if producer is None or producer.op_type != "Reshape" or producer.inputs[0] is None:
            return self.read
        return producer.inputs[0]

    @property
    def made(self) -> ir.Value:
        return self.node.outputs[0]

    @property
    def bias(self) -> ir.Value | None:
        return self.node.inputs[2] if len(self.node.inputs) > 2 else None


def sites(model: ir.Model, paths: Sequence[str], operators: frozenset[str]) -> dict[str, list[Site]]:
    """Every use of each layer in the graph. Without layers whose weight is also read by something else, or multiplied
    by an operator that has no form in few bits."""
    found: dict[str, list[Site]] = {}
    initializers: Mapping[str, ir.Value] = model.graph.initializers
    for path in paths:
        weight = initializers.get(f"{path}.weight")
        uses = [] if weight is None else [_site(path, weight, use.node, use.idx) for use in weight.uses()]
        whole = [site for site in uses if site is not None and site.node.op_type in operators]
        if whole and len(whole) == len(uses):
            found[path] = whole
    return found


def _site(path: str, weight: ir.Value, node: ir.Node, index: int) -> Site | None:
    entry = (node, index)
    if node.op_type == "Transpose":
        uses = list(node.outputs[0].uses())
        if len(uses) != 1:
            return None
        node, index = uses[0].node, uses[0].idx
    return Site(path, node, weight, entry) if index == 1 else None
