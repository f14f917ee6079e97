"""attention_per_head: one attention for each head, on its own channels."""

from __future__ import annotations

from operator import getitem
from typing import Any, ClassVar, cast

import torch

from exporters.transforms.attentions import attentions, head_attention
from exporters.transforms.rewriting import Forward, Rewrite
from netspec import ops


class AttentionPerHead(Rewrite):
    """Heads do not know of each other: the channels of queries, keys and values are split among them and the results
    joined. Vaswani et al. 2017, arXiv:1706.03762, Sec. 3.2.2. Tensors have three axes instead of four, and the scores
    of one head are alive at once.
    """

    name: ClassVar[str] = "attention_per_head"
    seeks: ClassVar[str] = "attention with several heads"

    def rewrite(self, forward: Forward) -> bool:
        graph = forward.graph
        found = [node for kind, node in attentions(forward) if kind is ops.attention and node.args[3] != 1]
        for node in found:
            q, k, v, heads, *mask = cast("tuple[Any, ...]", node.args)
            with graph.inserting_before(node):
                split = [graph.call_method("chunk", (each, heads, -1)) for each in (q, k, v)]
                parts = [
                    graph.call_function(
                        head_attention,
                        (*(graph.call_function(getitem, (each, index)) for each in split), *mask),
                        dict(node.kwargs),
                    )
                    for index in range(heads)
                ]
                whole = graph.call_function(torch.cat, (parts, -1))
            node.replace_all_uses_with(whole)
            graph.erase_node(node)
        return bool(found)
