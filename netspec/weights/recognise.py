"""Which layout a checkpoint has: told by its keys, for a plan or for none."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, get_args, get_type_hints

import torch

from netspec.embedded import SPEC_KEY
from netspec.errors import Diagnostic, WeightsError
from netspec.plan import Plan
from netspec.weights import layouts
from netspec.weights.checkpoint import Checkpoint
from netspec.weights.fit import Fit, compare, keys_of
from netspec.weights.layouts import Entry, Layout, Sign
from netspec.weights.layouts.transforms import Transform
from netspec.weights.source import Source, network, starts

AUTO = "auto"


@dataclass(frozen=True, repr=False)
class Reading:
    """How a checkpoint is read for a plan: the layout, the network's part, what fits, and what keys cannot tell."""

    layout: Layout
    source: Source
    entries: tuple[Entry, ...]
    fit: Fit
    doubts: tuple[str, ...] = ()  # choices of the layout that read the same keys otherwise

    def __repr__(self) -> str:
        return f"<Reading: {'; '.join(self.remarks())}>"  # its thousands of tensors would bury a notebook

    def remarks(self) -> Iterator[str]:
        """What a user wants to know of it, a sentence each."""
        yield f"layout `{self.layout.name}`"
        yield from self.source.remarks()
        for doubt in self.doubts:
            yield f"keys and shapes could be `{doubt}`, which reads other rows: --layout {doubt}, if it is so"


@dataclass(frozen=True)
class Found:
    """A layout and a kind of network that a file's tell-tale keys speak of, and where in the file they are."""

    layout: str
    family: str
    start: str


def signs_in(checkpoint: Checkpoint) -> list[Found]:
    """Every layout and family whose tell-tale keys are all below one start, raw weights and denoisers first."""
    found = []
    for name, cls in layouts.named().items():
        for sign in cls.known_by():
            for start in _spoken(checkpoint, sign):
                found.append(Found(name, sign.family, start))
    return found


def _spoken(checkpoint: Checkpoint, sign: Sign) -> Iterator[str]:
    counts = starts(checkpoint.infos, sign.keys)
    yield from (start for start, count in counts.items() if count == len(set(sign.keys)))


def recognise(checkpoint: Checkpoint, plan: Plan, layout: str | Layout = AUTO, *, ema: bool = False) -> Reading:
    """The best reading of a checkpoint for a plan; whether it fits is the caller's question (`Reading.fit`).

    With `auto` every layout is tried whose tell-tale keys are there, all of them where none is. The choices of a layout
    that nobody has made are tried as well; a layout given as an object is taken as it is.
    Raises WeightsError NS609 (the layout cannot hold this network), NS610 (unknown layout), NS622 (no average), NS623
    (no layout has such keys).
    """
    if layout != AUTO:
        found = _read(checkpoint, plan, layouts.find(layout), ema)
        return found if isinstance(layout, Layout) else _settled(checkpoint, plan, found, ema, said=layout)
    readings: list[Reading] = []
    refused: list[WeightsError] = []
    for candidate in _candidates(checkpoint):
        try:
            readings.append(_read(checkpoint, plan, candidate, ema))
        except WeightsError as error:  # a layout without a place for this network, or without an average of it
            refused.append(error)
        if readings and readings[-1].layout.name == layouts.OWN and readings[-1].fit.fits:
            return readings[-1]
    best = max(readings, key=lambda each: each.fit.rank, default=None)
    if best is None or not (best.fit.matched or SPEC_KEY in checkpoint.metadata):
        raise next((each for each in refused if each.diagnostics[0].code == "NS622"), _unknown(checkpoint))
    settled = _settled(checkpoint, plan, best, ema)
    others = [each for each in readings if each.layout.name != best.layout.name and each.fit.fits]
    doubts = [each.layout.name for each in others if settled.fit.fits and differ(settled, each)]
    return dataclasses.replace(settled, doubts=(*settled.doubts, *doubts))


def _candidates(checkpoint: Checkpoint) -> list[Layout]:
    """Our own layout first, whose names are the plan's, and alone where the file says that it is ours. Then those that
    the keys speak of, else all of them."""
    named = layouts.named()
    if SPEC_KEY in checkpoint.metadata:
        return [layouts.find(layouts.OWN)]
    spoken = [found.layout for found in signs_in(checkpoint)]
    return [named[name]() for name in dict.fromkeys([layouts.OWN, *(spoken or named)])]


def _read(checkpoint: Checkpoint, plan: Plan, layout: Layout, ema: bool) -> Reading:
    entries = layout.entries(plan)
    source = network(checkpoint, keys_of(entries), ema=ema).without(layout.beside(plan))
    return Reading(layout, source, entries, compare(source.infos, entries))


def _settled(checkpoint: Checkpoint, plan: Plan, reading: Reading, ema: bool, *, said: str = "") -> Reading:
    """The reading with the layout's own choices made: those that fit better, and then the doubts that remain.

    `said` is what the user wrote; the choices in it stand.
    """
    written = {choice.partition("=")[0].strip() for choice in said.partition(":")[2].split(",")}
    doubts = []
    for field, value in _choices(reading.layout):
        if field in written:
            continue
        other = _read(checkpoint, plan, dataclasses.replace(reading.layout, **{field: value}), ema)
        if other.fit.rank > reading.fit.rank:
            reading = other
        elif other.fit.fits and reading.fit.fits and differ(reading, other):
            doubts.append(f"{reading.layout.name}:{field}={value}")
    return dataclasses.replace(reading, doubts=tuple(doubts))


def _choices(layout: Layout) -> Iterator[tuple[str, Any]]:
    """(field, value) for everything that the layout could be told otherwise."""
    hints = get_type_hints(type(layout))
    for field in dataclasses.fields(layout):
        yield from (
            (field.name, value) for value in get_args(hints[field.name]) if value != getattr(layout, field.name)
        )


def differ(one: Reading, other: Reading) -> bool:
    """Whether two readings that fit make different tensors of the same file."""
    seen: dict[tuple[object, ...], bool] = {}
    if len(one.entries) != len(other.entries):
        return True
    for mine, theirs in zip(one.entries, other.entries, strict=True):
        if (mine.ours, mine.shapes, mine.foreign) != (theirs.ours, theirs.shapes, theirs.foreign):
            return True
        if mine.transform == theirs.transform:
            continue
        key = (mine.transform, theirs.transform, mine.shapes)
        if key not in seen:
            seen[key] = _reads_otherwise(mine, theirs.transform)
        if seen[key]:
            return True
    return False


def _reads_otherwise(entry: Entry, other: Transform) -> bool:
    """Whether numbered elements come out in another order."""
    numbered = []
    for shape in entry.foreign_shapes:
        count = torch.Size(shape).numel()
        numbered.append(torch.arange(count).reshape(shape))
    pairs = zip(entry.transform.read(numbered, entry.shapes), other.read(numbered, entry.shapes), strict=True)
    return not all(torch.equal(mine, theirs) for mine, theirs in pairs)


def _unknown(checkpoint: Checkpoint) -> WeightsError:
    names = list(checkpoint.infos)[:4]
    more = f" and {len(checkpoint.infos) - 4:,} more" if len(checkpoint.infos) > 4 else ""
    return WeightsError(
        Diagnostic(
            "NS623",
            f"{checkpoint.label}: no layout of this network has such keys",
            notes=(f"{', '.join(names)}{more}",),
            help=("`netspec weights inspect` says what a file is", f"layouts: {', '.join(sorted(layouts.named()))}"),
        )
    )
