"""How fast a network can be on a device at best: each node bound by arithmetic or by memory traffic.

Williams, Waterman & Patterson 2009, "Roofline: an insightful visual performance model for multicore architectures",
CACM 52(4), doi:10.1145/1498765.1498785. The time of a node is the larger of its FLOPs over the device's peak and its
bytes over the device's bandwidth; the bytes are its inputs, its output and its weights, each moved once. What happens
inside a node is taken to stay on the chip, and nodes do not overlap.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from types import MappingProxyType

from netspec.analysis.summary import BYTES
from netspec.document import load
from netspec.errors import Diagnostic, UsageError
from netspec.plan import Node, Plan

_TABLE = Path(__file__).with_name("devices.yaml")


@dataclass(frozen=True)
class Device:
    """The peaks of one device: FLOP/s by precision, bytes per second; and who says so."""

    name: str
    title: str
    flops: Mapping[str, float]
    bandwidth: float
    precision: str
    source: str


@dataclass(frozen=True)
class Roof:
    """A device at one precision."""

    device: Device
    precision: str

    def __str__(self) -> str:
        return f"{self.device.name} {self.precision}"

    def seconds(self, plan: Plan) -> float:
        """The least time that a network takes at `opt`."""
        return sum(self.node_seconds(node) for node in plan)

    def node_seconds(self, node: Node) -> float:
        """The least time that a node takes at `opt`."""
        return max(2 * node.cost.macs / self.device.flops[self.precision], self.traffic(node) / self.device.bandwidth)

    def traffic(self, node: Node) -> int:
        """Bytes that a node moves at `opt`: what it reads, each tensor once, its weights, and what it makes."""
        count = node.cost.params + node.cost.frozen + node.out.elements
        if len(node.inputs) == 1:
            count += node.inputs[0].type.elements
        else:
            count += sum({value.name: value.type.elements for value in node.inputs}.values())
        return count * BYTES[self.precision]


@cache
def devices() -> Mapping[str, Device]:
    """Every device of devices.yaml, by name."""
    entries = load(_TABLE).data
    return MappingProxyType({name: Device(name, **entry) for name, entry in entries.items()})


def roof(text: str) -> Roof:
    """`h100`, or `h100:fp32` in another precision. Raises UsageError NS944 for an unknown device or precision."""
    name, _, precision = text.partition(":")
    known = devices()
    if name not in known:
        close = get_close_matches(name, known, n=1)
        helps = (*(f"did you mean `{each}`?" for each in close), f"known are {', '.join(known)}")
        raise UsageError(Diagnostic("NS944", f"unknown device `{name}`", help=helps))
    device = known[name]
    if precision and precision not in device.flops:
        help = f"write {' or '.join(f'`{name}:{each}`' for each in device.flops)}"
        raise UsageError(Diagnostic("NS944", f"no peak of `{name}` is known in `{precision}`", help=(help,)))
    return Roof(device, precision or device.precision)
