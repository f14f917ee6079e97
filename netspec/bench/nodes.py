"""A runtime's profile told in the network's own words: time, share and speed of every node of the plan."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from netspec.bench.engine import Kernel, Profile
from netspec.bench.sizes import Sizes
from netspec.plan import Plan

BETWEEN = "(between operations)"  # of a run, what no operation took


@dataclass(frozen=True, slots=True)
class NodeTime:
    """One row: a node of the plan with its place in the spec, or in parentheses what belongs to none; `speed` is the
    node's own arithmetic in FLOP/s, None where it has none."""

    node: str
    place: str
    seconds: float
    share: float
    speed: float | None
    kernels: int


@dataclass(frozen=True)
class NodeTable:
    """Where the time of a backend goes at some sizes: `seconds` is a whole run's, and what the rows add up to."""

    backend: str
    outputs: tuple[str, ...]
    sizes: Sizes
    runs: int
    seconds: float
    rows: tuple[NodeTime, ...]


def attributed(profile: Profile, plan: Plan) -> tuple[NodeTime, ...]:
    """The dearest first. `plan` is at the sizes that were run. Operations that belong to no node keep a row for each
    kind, and so does the time between operations: nothing is dropped."""
    owners = {node.name: node.name for node in plan} | {name: value.node for name, value in plan.outputs.items()}
    seconds: dict[str, float] = defaultdict(float)
    counts: dict[str, int] = defaultdict(int)
    for kernel in profile.kernels:
        name = owner(kernel, owners)
        seconds[name] += kernel.seconds
        counts[name] += 1
    seconds[BETWEEN] = profile.seconds - sum(kernel.seconds for kernel in profile.kernels)
    rows = [_row(plan, profile, name, spent, counts[name]) for name, spent in seconds.items()]
    return tuple(sorted(rows, key=lambda row: -row.seconds))


def owner(kernel: Kernel, owners: Mapping[str, str]) -> str:
    """The node of the plan that an operation belongs to: the one that the first of its names begins with that begins
    with one; `(Op)` where none does."""
    heads = (name.partition("/")[0].partition(".")[0] for name in kernel.names)
    return next((owners[head] for head in heads if head in owners), f"({kernel.op})")


def _row(plan: Plan, profile: Profile, name: str, seconds: float, kernels: int) -> NodeTime:
    node = plan.by_name.get(name)
    share = seconds / profile.seconds
    if node is None:
        return NodeTime(name, "", seconds, share, None, kernels)
    place = profile.places.get(name) or node.origin.source
    speed = 2 * node.cost.macs / seconds if node.cost.macs and seconds else None
    return NodeTime(name, place, seconds, share, speed, kernels)
