"""compare(): two networks → Difference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from netspec.diff.carried import Carry, carried
from netspec.diff.choices import Change, Group, changes
from netspec.diff.stages import Figures, Pair, Stage, compared, figures
from netspec.plan import Plan


@dataclass(frozen=True)
class Side:
    """One of the two: how it was called, and its plan."""

    label: str
    plan: Plan


@dataclass(frozen=True)
class Difference:
    """What differs between two networks. `changes` are choices, `stages` all stages of both, in order."""

    a: Side
    b: Side
    changes: tuple[Change, ...]
    stages: tuple[Stage, ...]

    @property
    def equal(self) -> bool:
        """Whether nothing differs: neither a choice nor a node."""
        return not self.changes and not self.changed

    @property
    def same_network(self) -> bool:
        """Whether the same nodes compute the same thing: what differs, if anything, is around them."""
        return not any(pair.differs for stage in self.stages for pair in stage.pairs)

    def group(self, name: Group) -> list[Change]:
        return [change for change in self.changes if change.group == name]

    @cached_property
    def changed(self) -> list[Stage]:
        """The stages that differ."""
        return [stage for stage in self.stages if stage.differs]

    @cached_property
    def old(self) -> Figures:
        return figures(self.a.plan.nodes)

    @cached_property
    def new(self) -> Figures:
        return figures(self.b.plan.nodes)

    @property
    def peaks(self) -> tuple[int, int]:
        """Bytes of activations in float32 that are alive at once, in A and in B."""
        return 4 * self.a.plan.peak_elements, 4 * self.b.plan.peak_elements

    @cached_property
    def weights(self) -> Carry:
        return carried(self.stages)

    def data(self) -> dict[str, Any]:
        """As plain data, for `--format json`."""
        peaks = dict(zip(("old", "new"), self.peaks, strict=True))
        return {
            "a": _side(self.a),
            "b": _side(self.b),
            "equal": self.equal,
            "same_network": self.same_network,
            **{name: [each.data() for each in self.group(name)] for name in ("choices", "interface", "notes")},
            "stages": [_stage(stage) for stage in self.changed],
            "total": _delta(self.old, self.new) | {"alive_bytes": peaks | {"delta": peaks["new"] - peaks["old"]}},
            "weights": self.weights.data(),
        }


def compare(a: Plan, b: Plan, labels: Sequence[str] = ()) -> Difference:
    """What differs between two plans, from A to B; `labels` are what they are called, their own names by default."""
    found = changes(a.spec, b.spec)
    left, right = labels or (a.spec.name, b.spec.name)
    return Difference(Side(left, a), Side(right, b), found.all, tuple(compared(a, b, found)))


def _side(side: Side) -> dict[str, Any]:
    plan = side.plan
    return {"label": side.label, "name": plan.spec.name, "family": plan.spec.family.name, "plan_sha256": plan.sha256}


def _delta(old: Figures, new: Figures) -> dict[str, Any]:
    before, after, delta = old.data(), new.data(), (new - old).data()
    return {key: {"old": before[key], "new": after[key], "delta": delta[key]} for key in before}


def _stage(stage: Stage) -> dict[str, Any]:
    outputs = dict(zip(("old", "new"), stage.outputs, strict=True))
    return {
        "stage": stage.name,
        **({"was": stage.old_name} if stage.old_name != stage.name else {}),
        "words": stage.words,
        "output": outputs,
        **_delta(stage.old, stage.new),
        "changed": [_node(pair) for pair in stage.pairs if pair.changes],
        "removed": [pair.node.name for pair in stage.pairs if pair.new is None],
        "added": [pair.node.name for pair in stage.pairs if pair.old is None],
    }


def _node(pair: Pair) -> dict[str, Any]:
    was = pair.old.name if pair.old and pair.old.name != pair.node.name else None
    return {"node": pair.node.name, **({"was": was} if was else {}), "changes": list(pair.changes)}
