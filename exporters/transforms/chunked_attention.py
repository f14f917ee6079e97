"""chunked_attention: queries in chunks, so that few rows of the scores are alive at once."""

from __future__ import annotations

from collections.abc import Iterator
from operator import getitem
from typing import ClassVar, cast

import torch
from torch import fx

from exporters.transforms.attentions import attentions
from exporters.transforms.rewriting import Forward, Rewrite


class ChunkedAttention(Rewrite):
    """Softmax is over keys, so rows of the scores (N, heads, T, S) do not know of each other: T of them at once or
    `queries` of them, one chunk after the other, give the same. Rabe & Staats 2021, arXiv:2112.05682, Sec. 2 (over
    queries alone).

    The chunks are as equal as they can be; attention with fewer queries stays whole.
    """

    name: ClassVar[str] = "chunked_attention"
    seeks: ClassVar[str] = "attention with more queries than a chunk has"

    def __init__(self, queries: int = 512) -> None:
        self.queries = queries

    def refusals(self) -> Iterator[tuple[str, str]]:
        if not isinstance(self.queries, int) or isinstance(self.queries, bool) or self.queries < 1:
            yield "queries", "a number of tokens, at least 1"

    def rewrite(self, forward: Forward) -> bool:
        changed = False
        for kind, node in attentions(forward):
            query, *rest = cast("tuple[fx.Node, ...]", node.args)
            low, high = forward.sizes(query, 1)
            if high <= self.queries:
                continue
            if low != high:
                raise forward.varies("queries", low, high)
            graph = forward.graph
            with graph.inserting_before(node):
                chunks = graph.call_method("split", (query, _equal(high, self.queries), 1))
                parts = [
                    graph.call_function(kind, (graph.call_function(getitem, (chunks, index)), *rest), node.kwargs)
                    for index in range(-(-high // self.queries))
                ]
                whole = graph.call_function(torch.cat, (parts, 1))
            node.replace_all_uses_with(whole)
            graph.erase_node(node)
            changed = True
        return changed


def _equal(total: int, most: int) -> list[int]:
    """`total` as a sum of as few parts as none of which exceeds `most`, the larger ones first."""
    count = -(-total // most)
    return [total // count + (index < total % count) for index in range(count)]
