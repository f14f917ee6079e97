"""summarise(): the plan as the table that a person expects, per stage and in total."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from netspec.costs import Cost
from netspec.plan import Node, Plan
from netspec.resample import Downsample, Upsample
from netspec.tensors import TensorType

BYTES = {"fp32": 4, "fp16": 2, "bf16": 2, "int8": 1}


@dataclass(frozen=True, slots=True)
class Row:
    """One stage: consecutive nodes of one level side. `output` is at the level's own resolution."""

    nodes: tuple[Node, ...]
    stage: str
    output: TensorType
    blocks: str  # "2 resnet + 2 spatial"
    cost: Cost

    @property
    def gflops(self) -> float:
        return self.cost.gflops


@dataclass(frozen=True, slots=True)
class Summary:
    """A network in numbers. Compute is that of convolutions and matrix products at `opt`, the whole batch."""

    plan: Plan
    rows: tuple[Row, ...]

    @property
    def gmacs(self) -> float:
        return self.plan.cost.macs / 1e9

    @property
    def gflops(self) -> float:
        return 2 * self.gmacs

    def weights_bytes(self, precision: str) -> int:
        """Bytes of all numbers that the network carries, trained or not, at one precision."""
        return (self.plan.cost.params + self.plan.cost.frozen) * BYTES[precision]

    def activation_bytes(self, precision: str = "fp32") -> int:
        """Bytes alive at once between nodes at `opt`."""
        return self.plan.peak_elements * BYTES[precision]

    @property
    def sizes(self) -> dict[str, int]:
        """The sizes that `opt` means."""
        return {name: dim.opt for name, dim in self.plan.spec.dims.items()}

    def data(self) -> dict[str, Any]:
        """The summary as plain data, for `--format json`."""
        cost = self.plan.cost
        return {
            "name": self.plan.spec.name,
            "family": self.plan.spec.family.name,
            "params": cost.params,
            "frozen": cost.frozen,
            "gflops": round(self.gflops, 3),
            "gmacs": round(self.gmacs, 3),
            "opt": self.sizes,
            "weights_bytes": {name: self.weights_bytes(name) for name in BYTES},
            "activation_bytes": {name: self.activation_bytes(name) for name in ("fp32", "fp16")},
            "inputs": {name: [str(size) for size in type_.shape] for name, type_ in self.plan.inputs.items()},
            "outputs": {name: [str(size) for size in v.type.shape] for name, v in self.plan.outputs.items()},
            "stages": [
                {
                    "stage": row.stage,
                    "output": [str(size) for size in row.output.shape],
                    "params": row.cost.params,
                    "gflops": round(row.gflops, 3),
                    "blocks": row.blocks,
                }
                for row in self.rows
            ],
            "nodes": [_node(node) for node in self.plan],
        }


def summarise(plan: Plan) -> Summary:
    """The summary of a plan."""
    return Summary(plan, tuple(_rows(plan)))


def _rows(plan: Plan) -> Iterable[Row]:
    groups: list[list[Node]] = []
    for node in plan:
        if groups and groups[-1][0].stage == node.stage:
            groups[-1].append(node)
        else:
            groups.append([node])
    for group, following in zip(groups, [*groups[1:], []], strict=True):
        cost = Cost()
        for node in group:
            cost = cost + node.cost
        yield Row(tuple(group), group[0].stage, _output(group, following), _blocks(group), cost)


def _output(group: Sequence[Node], following: Sequence[Node]) -> TensorType:
    """What a stage makes: what the next one goes on from, else the last thing; before a change of resolution."""
    inside = [node for node in group if not isinstance(node.component, Downsample | Upsample)] or group
    read = {value.name for node in following[:1] for value in node.inputs[:1]}
    return next((node for node in inside if node.name in read), inside[-1]).out


def _blocks(nodes: Sequence[Node]) -> str:
    """What a stage is made of: `2 resnet + 2 spatial + conv`. Joins and sums have no weights and go unsaid beside
    what has."""
    telling = [node for node in nodes if node.cost.params or node.component.kind != "wiring"] or nodes
    names = Counter(node.component.name for node in telling)
    return " + ".join(name if count == 1 else f"{count} {name}" for name, count in names.items())


def _node(node: Node) -> dict[str, Any]:
    return {
        "name": node.name,
        "component": f"{node.component.kind}.{node.component.name}",
        "inputs": [value.name for value in node.inputs],
        "output": [str(size) for size in node.out.shape],
        "params": node.cost.params,
        "frozen": node.cost.frozen,
        "gflops": round(node.cost.gflops, 6),
        "origin": str(node.origin),
        "line": node.origin.line,
    }
