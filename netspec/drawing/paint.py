"""What colours mean: the kind of each node, a share of something, or a precision."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Literal, TypeAlias

from netspec.analysis.roofline import roof
from netspec.drawing.scene import KINDS, Box, Scene, kind
from netspec.errors import Diagnostic, UnknownName, UsageError
from netspec.plan import Node, Plan
from netspec.roles import FEW_BITS, Role, by_role, matches
from netspec.spec import Precision

STEPS = 5  # of the ramp: `ramp-0` to `ramp-4` of the palette
DEVICE = "cpu"  # whose roofline `time` is, where nobody says


@dataclass(frozen=True)
class Shares:
    """A number for each node; a box is painted by its share of their sum. `measured` says of what: `GFLOPs`."""

    numbers: Mapping[str, float]
    measured: str


@dataclass(frozen=True)
class Precisions:
    """What each node computes in for a target. `base` is the float of what few bits do not reach."""

    of: Mapping[str, str]


Color: TypeAlias = Literal["kind", "cost", "params", "time", "precision"] | Shares | Precisions


@dataclass(frozen=True)
class Paint:
    """How one picture is coloured.

    style: the class of a node's cell. legend: classes and what they mean. shares: what each box has of a whole, where
    colours are shares, of which `measured` says what they are of; `numbers` are those of the nodes.
    """

    style: Callable[[Node], str]
    legend: tuple[tuple[str, str], ...]
    shares: Mapping[str, float] = field(default_factory=dict)
    numbers: Mapping[str, float] = field(default_factory=dict)
    measured: str = ""

    def share(self, box: Box) -> float | None:
        return self.shares.get(box.id)

    def fill(self, box: Box) -> str:
        """The class of a box's own colour: one of the ramp's steps, the last for the largest share."""
        share = self.shares.get(box.id)
        if share is None:
            return ""
        return f"ramp-{min(STEPS - 1, int(STEPS * share / (max(self.shares.values()) or 1.0)))}"


def paint(scene: Scene, color: Color) -> Paint:
    """The colours of a scene. Raises what finding them raises: `precisions`."""
    match color:
        case "kind":
            return Paint(kind, tuple(_kinds(scene)))
        case "cost":
            return _shared(scene, Shares({node.name: float(node.cost.macs) for node in scene.plan}, "GFLOPs"))
        case "params":
            return _shared(scene, Shares({node.name: float(node.cost.params) for node in scene.plan}, "parameters"))
        case "time":
            return _shared(scene, roofline(scene.plan))
        case "precision":
            return _typed(scene, precisions(scene.plan))
        case Shares():
            return _shared(scene, color)
        case Precisions():
            return _typed(scene, color)


def roofline(plan: Plan, device: str = DEVICE) -> Shares:
    """The least time of each node on a device. Raises UsageError NS944 for one that is unknown."""
    place = roof(device)
    return Shares({node.name: place.node_seconds(node) for node in plan}, f"time at best, {place}")


def measured(plan: Plan, report: Mapping[str, Any]) -> Shares:
    """The time that each node took, from what `netspec bench --per-node --format json` printed: of the first backend.

    Raises UsageError NS946 where it holds no times of this plan's nodes.
    """
    for table in report.get("nodes") or ():
        times = {row["node"]: float(row["ms"]) for row in table["rows"] if row["node"] in plan.by_name}
        if any(times.values()):
            return Shares(times, f"time measured with {table['backend']}")
    help = "write one with `netspec bench DIR --per-node --format json`"
    message = f"the report holds no times of the nodes of {plan.spec.name}"
    raise UsageError(Diagnostic("NS946", message, help=(help,)))


def precisions(plan: Plan, target: str | None = None) -> Precisions:
    """What each node as a whole computes in for a target, by default the spec's first. A pattern of the spec's that
    names parts inside nodes alone is not seen here; `precision.txt` of a built target has every part.

    Raises UnknownName NS212 for a target that the spec does not have, or where it has none.
    """
    targets = plan.spec.targets
    name = next(iter(targets), "") if target is None else target
    if name not in targets:
        raise UnknownName(_no_target(name, targets))
    wanted = targets[name].precision
    total = sum(node.cost.params for node in plan) or 1
    modulation = sum(node.cost.params for node in plan if _role(node) == "modulation") / total
    return Precisions({node.name: _precision(node, wanted, modulation) for node in plan})


def _precision(node: Node, wanted: Precision, modulation: float) -> str:
    role = _role(node)
    made = wanted.default
    if role != "other" or not node.cost.params:
        made, _ = by_role(role, wanted.default, "float", modulation)
    for override, patterns in wanted.overrides.items():
        if any(matches(pattern, node.name) for pattern in patterns):
            made = override
    return made


def _role(node: Node) -> Role:
    """What makes a vector of conditioning ones embeds it, as in netspec.precision."""
    role = node.component.role
    return "embedding" if role == "other" and node.out.layout == "vector" else role


def _no_target(name: str, targets: Collection[str]) -> Diagnostic:
    if not targets:
        help = "add `targets: {gpu: {exporter: tensorrt, precision: fp16}}`"
        return Diagnostic("NS212", "the spec has no targets", help=(help,))
    close = get_close_matches(name, targets, n=1)
    meant = (f"did you mean `{close[0]}`?",) if close else ()
    return Diagnostic("NS212", f"the spec has no target `{name}`", help=(*meant, f"targets: {', '.join(targets)}"))


def _kinds(scene: Scene) -> Iterator[tuple[str, str]]:
    """Of the legend, what the picture has. Parts of blocks have two of its colours."""
    used = {kind(node) for box in scene.boxes.values() for node in box.cells if not box.sketch}
    parts = any(box.sketch for box in scene.boxes.values())
    for name, text in KINDS.items():
        if name == "conv" and parts:
            yield name, f"{text}, MLP" if name in used else "MLP"
        elif name in used or (name == "attention" and parts):
            yield name, text


def _shared(scene: Scene, given: Shares) -> Paint:
    whole = sum(given.numbers.values()) or 1.0
    boxes = [box for box in scene.boxes.values() if box.nodes]
    shares = {box.id: sum(given.numbers.get(node.name, 0.0) for node in box.nodes) / whole for box in boxes}
    return Paint(lambda node: "share", (), shares, given.numbers, given.measured)


def _typed(scene: Scene, given: Precisions) -> Paint:
    used = {given.of[node.name] for box in scene.boxes.values() for node in box.cells}
    names = [name for name in (*_STYLES, *FEW_BITS) if name in used]
    legend = tuple((_style(name), "the target's float" if name == "float" else name) for name in names)
    return Paint(lambda node: _style(given.of[node.name]), legend)


_STYLES = {"fp32": "fp32", "fp16": "fp16", "bf16": "bf16", "float": "other"}  # which float that is, exporters say


def _style(precision: str) -> str:
    return _STYLES.get(precision, "few")
