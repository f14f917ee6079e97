"""A checkpoint of one layout → a safetensors file of another, a few tensors at a time.

Tensors that either layout keeps together (the rows of a fused q, k, v; the copies of one embedding) make a group. A
group is read, turned and written before the next one is read, so memory holds the largest of them, never the file. The
header comes first and needs no numbers: the same steps on the meta device say what will be written.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from pathlib import Path

import torch
from torch import Tensor

from netspec import graph
from netspec import spec as specs
from netspec.embedded import SPEC_KEY
from netspec.plan import Plan
from netspec.weights.aligned import AlignedLayout, AlignedWriter, TensorInfo, dtype_name, torch_dtype
from netspec.weights.header import DTYPE_BITS
from netspec.weights.layouts import OWN, Entry, Layout
from netspec.weights.source import Source, is_float


@dataclass(frozen=True)
class Group:
    """Entries that share tensors: what is read together, and what is written from it."""

    sources: tuple[Entry, ...]
    targets: tuple[Entry, ...]


@dataclass(frozen=True)
class Rewriting:
    """What is to be written where. `dtype` is that of floating-point numbers; None keeps each tensor's own."""

    plan: Plan
    source: Source
    entries: Sequence[Entry]  # that read the source
    layout: Layout  # of the file to be written
    dtype: torch.dtype | None = None

    @cached_property
    def _usual(self) -> torch.dtype:
        """The precision of the file to be written: what most numbers have."""
        counts = Counter[str]()
        for info in self.source.infos.values():
            if is_float(info):
                counts[info.dtype] += math.prod(info.shape)
        most = counts.most_common(1)
        return self.dtype or (torch_dtype(TensorInfo("", most[0][0], ())) if most else torch.float32)

    @cached_property
    def _own(self) -> Mapping[str, torch.dtype]:
        """Every tensor of the network in our order, with the dtype that it has in a network of that precision."""
        model = graph.build(self.plan, device="meta", dtype=self._usual)
        return {name: tensor.dtype for name, tensor in model.state_dict().items()}

    def write(self, path: Path) -> None:
        """Write the file, which appears when it is whole. Raises WeightsError NS609, NS617."""
        with AlignedWriter(path, self.header) as writer, torch.no_grad():
            for name, tensor in self.tensors(self.source):
                writer.write(name, tensor)

    @cached_property
    def header(self) -> AlignedLayout:
        """Where each tensor will lie: in our own layout aligned, in our order and with the spec; else side by side."""
        like = {
            key: torch.empty(info.shape, dtype=torch_dtype(info), device="meta")
            for key, info in self.source.infos.items()
        }
        made = {name: TensorInfo(name, dtype_name(t.dtype), tuple(t.shape)) for name, t in self.tensors(like, "meta")}
        if self.layout.name == OWN:
            return AlignedLayout.plan(
                [made[name] for name in self._own], {"format": "pt", SPEC_KEY: specs.text(self.plan.spec)}
            )
        ordered = [made[key] for entry in self.layout.entries(self.plan) for key in entry.foreign]
        ordered.sort(key=lambda info: -DTYPE_BITS[info.dtype])  # widest first: no dtype misaligns the next
        return AlignedLayout.plan(ordered, {"format": "pt"}, alignment=1)

    def tensors(self, state: Mapping[str, Tensor], device: str = "cpu") -> Iterator[tuple[str, Tensor]]:
        """(name, tensor) of the file, group by group. `state` holds the source's tensors, or their like on meta."""
        for group in groups(self.entries, self.layout.entries(self.plan)):
            ours = self._cast({key: value for entry in group.sources for key, value in entry.read(state)})
            for entry in group.targets:
                if any(key not in ours for key in entry.ours):
                    ours = {**self._computed(entry, device), **ours}
                yield from entry.write(ours)

    def _computed(self, entry: Entry, device: str) -> dict[str, Tensor]:
        """The tensors of a node as the network computes them: some are in this file that the source does without."""
        module = graph.build_node(entry.node, device=device, dtype=self._usual)
        return {f"{entry.node.name}.{name}": value for name, value in module.state_dict().items()}

    def _cast(self, ours: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """One precision within a group, the finest; some buffers of our own files keep their exact numbers."""
        floats = [value.dtype for value in ours.values() if value.is_floating_point()]
        common = self.dtype or (reduce(torch.promote_types, floats) if floats else self._usual)
        exact = self._own if self.layout.name == OWN and common == self._usual else {}
        return {
            key: value.to(exact.get(key, common)) if value.is_floating_point() else value for key, value in ours.items()
        }


def groups(sources: Sequence[Entry], targets: Sequence[Entry]) -> Iterator[Group]:
    """The smallest sets of entries on both sides that have their tensors among themselves, in the targets' order."""
    reads = {key: entry for entry in sources for key in entry.ours}
    writes = {key: entry for entry in targets for key in entry.ours}
    done: set[str] = set()
    for first in targets:
        if first.ours[0] in done:
            continue
        members: dict[str, None] = {}
        reached = list(first.ours)
        while reached:
            key = reached.pop()
            if key not in members:
                members[key] = None
                reached += [other for side in (reads, writes) if key in side for other in side[key].ours]
        done.update(members)
        yield Group(_entries(reads, members), _entries(writes, members))


def _entries(by_key: Mapping[str, Entry], keys: Collection[str]) -> tuple[Entry, ...]:
    return tuple({id(by_key[key]): by_key[key] for key in keys if key in by_key}.values())
