"""converted(): a checkpoint in any layout → our tensors, one at a time."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from netspec import graph
from netspec.graph import Model
from netspec.weights.layouts import Layout
from netspec.weights.source import Source


def converted(model: Model, layout: Layout, source: Source) -> Iterator[tuple[str, Tensor]]:
    """Every tensor of the model: from the source, or computed where the layout stores none.

    Values have the model's dtypes. `check_fit` has to have passed.
    """
    own = model.state_dict()
    for entry in layout.entries(model.plan):
        found = dict(entry.read(source))
        for key in entry.ours:
            if key in found:
                value = found[key]
            elif own[key].is_meta:
                made = graph.build_node(entry.node).state_dict()
                value = made[key.removeprefix(f"{entry.node.name}.")]
            else:
                value = own[key]
            yield key, value.to(own[key].dtype)
