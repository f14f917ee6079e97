"""netspec's own layout."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from netspec.plan import Plan
from netspec.weights.layouts import Layout
from netspec.weights.layouts.nodes import shapes_of
from netspec.weights.layouts.table import Place, Row


@dataclass(frozen=True, kw_only=True)
class Own(Layout, name="netspec"):
    """Every tensor under its own name: node, part, tensor. What `save_weights` writes."""

    def beside(self, plan: Plan) -> tuple[str, ...]:
        """The other nodes of the network that the plan is a part of."""
        return tuple(f"{node.name}." for node in plan.whole or () if node.name not in plan.by_name)

    def places(self, plan: Plan) -> Iterator[Place]:
        for node in plan:
            yield Place(node, node.name, tuple(Row((key,), (key,)) for key in shapes_of(node)))
