"""What every rule looks at: one file and one version, with what has been worked out about them once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeAlias

from exporters.tensorrt.gate.graph import Graph, Node
from exporters.tensorrt.gate.profile import Largest, Profile
from exporters.tensorrt.gate.report import Finding
from exporters.tensorrt.gate.table import Operator, Version


@dataclass(frozen=True)
class Case:
    """folder: where the file lies. at: sizes at the profile's max, where they can be told. unwritten: values that fused
    attention keeps to itself. activations: bytes alive at once at those sizes. memory: of the GPU, where it was stated.
    """

    graph: Graph
    version: Version
    folder: Path
    profile: Profile | None
    at: Largest | None
    unwritten: set[str]
    activations: int
    memory: int | None

    @cached_property
    def imported(self) -> list[tuple[Node, Operator]]:
        """The nodes that this TensorRT knows, with what it says of their operators."""
        operators = self.version.operators
        return [(node, operators[node.op]) for node in self.graph.nodes if self.knows(node)]

    def knows(self, node: Node) -> bool:
        if node.domain or node.op not in self.version.operators:
            return False
        return self.version.has(self.version.operators[node.op].since)

    @cached_property
    def written(self) -> list[str]:
        """Values of known size that lie in memory at some time."""
        known = self.at.shapes if self.at is not None else {}
        return [name for name in self.graph.values if name in known and name not in self.unwritten]


Rule: TypeAlias = Callable[[Case], Iterator[Finding]]
