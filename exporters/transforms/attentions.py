"""What the transforms of attention share: where it is, and the form of a single head."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, fx

from exporters.lowering import register
from exporters.lowering.attention import single_head
from exporters.transforms.rewriting import Forward
from netspec import ops


def head_attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    """Attention with one head, which is a leaf of its own: products of three axes, nothing to split or transpose.

    q: (N, T, d); k, v: (N, S, d); mask: (N, S), 0 for what nobody sees; returns (N, T, d).
    """
    return ops.attention(q, k, v, 1, mask)


register(head_attention, single_head)


def attentions(forward: Forward) -> list[tuple[Callable[..., Tensor], fx.Node]]:
    """Every attention in a graph: which of the two it is, and the call, whose first argument is the queries."""
    return [
        (kind, node)
        for kind in (ops.attention, head_attention)
        for node in forward.graph.find_nodes(op="call_function", target=kind)
    ]
