"""carried(): which of A's weights are weights of B, node by node, without torch.

A node's tensors follow from its component and from the widths of what it reads and makes. Where those agree, names and
shapes agree; where only choices differ that change neither the parts nor the number of weights (heads, an eps), the
weights load and mean something else, which is said. tests/test_diff.py holds this against the state dicts of torch.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from netspec.diff.stages import Pair, Stage
from netspec.plan import Node
from netspec.registry import Component, Record, declared

Fate = Literal["same", "altered", "renamed", "reshaped", "new", "gone"]
_WEIGHTLESS = ("activation", "modulation")  # kinds whose components name no tensors after themselves
FATES: dict[Fate, str] = {
    "same": "load, as they are",
    "altered": "load, into a node that computes something else",
    "renamed": "fit under another name",
    "reshaped": "have other names or shapes",
    "new": "are new in B",
    "gone": "are A's alone",
}


@dataclass(frozen=True)
class Carry:
    """What becomes of the weights of every node that has any."""

    pairs: tuple[tuple[Fate, Pair], ...]

    def of(self, *fates: Fate) -> list[Pair]:
        return [pair for fate, pair in self.pairs if fate in fates]

    def numbers(self, *fates: Fate) -> int:
        """How many numbers these weights are, in B; those of A alone, in A."""
        return sum(numbers(pair.node) for pair in self.of(*fates))

    @property
    def loads(self) -> bool:
        """Whether A's weights are B's, name by name and shape by shape: nothing is missing, nothing is left."""
        return all(fate in ("same", "altered") for fate, _ in self.pairs)

    @property
    def nodes(self) -> tuple[int, int]:
        """Nodes of B whose weights load, and all that have weights."""
        return len(self.of("same", "altered")), len(self.pairs) - len(self.of("gone"))

    @property
    def share(self) -> tuple[int, int]:
        """Numbers of B that load, and all."""
        return self.numbers("same", "altered"), self.numbers(*(fate for fate in FATES if fate != "gone"))

    def data(self) -> dict[str, Any]:
        """As plain data, for `--format json`."""
        (nodes, of_nodes), (loaded, of_numbers) = self.nodes, self.share
        return {
            "loads": self.loads,
            "nodes": {"loaded": nodes, "all": of_nodes},
            "numbers": {"loaded": loaded, "all": of_numbers},
            **{fate: [_entry(pair) for pair in self.of(fate)] for fate in FATES if fate != "same"},
        }


def carried(stages: Iterable[Stage]) -> Carry:
    """The fate of each node's weights."""
    pairs = (pair for stage in stages for pair in stage.pairs)
    return Carry(tuple((_fate(pair), pair) for pair in pairs if _weighs(pair)))


def numbers(node: Node) -> int:
    """What a node stores: weights, and tables that travel with them."""
    return node.cost.params + node.cost.frozen


def _weighs(pair: Pair) -> bool:
    return any(node is not None and numbers(node) for node in (pair.old, pair.new))


def _fate(pair: Pair) -> Fate:
    old, new = pair.old, pair.new
    if old is None or not numbers(old):
        return "new"
    if new is None or not numbers(new):
        return "gone"
    if not same_tensors(old, new):
        return "reshaped"
    if old.name != new.name:
        return "renamed"
    return "same" if old.component == new.component else "altered"


def same_tensors(a: Node, b: Node) -> bool:
    """Whether two nodes have the same tensors, by name below the node and by shape."""
    if type(a.component).build is not type(b.component).build or len(a.inputs) != len(b.inputs):
        return False
    if _parts(a.component) != _parts(b.component):
        return False
    types = zip((*a.types, a.out), (*b.types, b.out), strict=True)
    alike = all(x.layout == y.layout and x.channels == y.channels for x, y in types)
    return alike and (a.cost.params, a.cost.frozen) == (b.cost.params, b.cost.frozen)


def _parts(record: Record) -> list[str]:
    """The components inside a component that may have weights, which then have names of their own."""
    found = []
    for name in declared(type(record)):
        part = getattr(record, name)
        if isinstance(part, Component) and part.kind not in _WEIGHTLESS:
            found += [f"{name}.{part.kind}.{part.name}", *_parts(part)]
    return found


def _entry(pair: Pair) -> dict[str, Any]:
    was = pair.old.name if pair.old and pair.new and pair.old.name != pair.new.name else None
    return {
        "node": pair.node.name,
        **({"was": was} if was else {}),
        "numbers": numbers(pair.node),
        **({"changes": list(pair.changes)} if pair.changes else {}),
    }
