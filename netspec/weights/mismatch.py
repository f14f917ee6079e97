"""Why weights do not fit a network: one diagnostic for each kind of mismatch, one line for each block."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from netspec.errors import Diagnostic, WeightsError
from netspec.plan import Plan
from netspec.weights import layouts
from netspec.weights.layouts import Entry, Layout
from netspec.weights.layouts.transforms import Shape
from netspec.weights.source import Source, is_float

MAX_BLOCKS = 6  # lines for each kind of mismatch
MAX_NAMES = 3  # tensors on one line


@dataclass
class _Finding:
    """One kind of mismatch, by block: a node, or the start of keys that belong to none."""

    code: str
    message: str  # with {tensors} and {blocks}
    blocks: dict[str, list[str]] = field(default_factory=dict)

    def add(self, block: str, item: str) -> None:
        self.blocks.setdefault(block, []).append(item)

    def diagnostic(self, help_text: Sequence[str]) -> Diagnostic:
        tensors = sum(map(len, self.blocks.values()))
        notes = [f"{block}: {_listed(items)}" for block, items in list(self.blocks.items())[:MAX_BLOCKS]]
        if (more := len(self.blocks) - MAX_BLOCKS) > 0:
            notes.append(f"and {_count(more, 'more block')}")
        counted = self.message.format(tensors=_count(tensors, "tensor"), blocks=_count(len(self.blocks), "block"))
        return Diagnostic(self.code, counted, notes=tuple(notes), help=tuple(help_text))


def check_fit(source: Source, plan: Plan, layout: Layout) -> None:
    """Raise WeightsError with every mismatch between a source and a plan: NS603 missing, NS604 unexpected, NS605
    wrong shape, NS606 numbers that are no floats."""
    entries = layout.entries(plan)
    missing = _Finding("NS603", f"{source.label} lacks {{tensors}} of {{blocks}}")
    unexpected = _Finding("NS604", f"{source.label} has {{tensors}} in {{blocks}} that the network does not")
    shapes = _Finding("NS605", f"{source.label}: {{tensors}} of {{blocks}} have another shape")
    dtypes = _Finding("NS606", f"{source.label}: {{tensors}} of {{blocks}} hold no floating-point numbers")
    used: set[str] = set()
    for entry in entries:
        names = entry.named_in(source.keys())
        used.update(names)
        block = _block(entry)
        for name, expected in zip(names, entry.foreign_shapes, strict=True):
            if name not in source:
                missing.add(block, _below(name, entry.prefix))
                continue
            info = source.infos[name]
            if not entry.transform.fits(info.shape, expected):
                shapes.add(block, f"{_below(name, entry.prefix)} is {_shape(info.shape)}, expected {_shape(expected)}")
            elif not is_float(info) and not name.endswith("num_batches_tracked"):
                dtypes.add(block, f"{_below(name, entry.prefix)} is {info.dtype}")
    prefixes = {entry.prefix for entry in entries if entry.prefix}
    for name in source:
        if name not in used:
            unexpected.add(_stray(name, prefixes), name)
    found = [finding for finding in (missing, unexpected, shapes, dtypes) if finding.blocks]
    if found:
        hint = tuple(_other_layout(source, plan, layout, matched=len(used & source.keys())))
        raise WeightsError(*(each.diagnostic(hint if each is found[0] else ()) for each in found))


def _other_layout(source: Source, plan: Plan, tried: Layout, matched: int) -> Iterator[str]:
    """The layout whose keys these are, where it is not the one that was tried."""
    best = max(((_matches(source, plan, cls()), name) for name, cls in layouts.named().items()), default=(0, ""))
    if best[0] > 2 * matched and best[1] != tried.name:
        yield f"these keys are those of layout `{best[1]}`"


def _matches(source: Source, plan: Plan, layout: Layout) -> int:
    try:
        entries: Sequence[Entry] = layout.entries(plan)
    except WeightsError:  # a layout that has no place for this network
        return 0
    return sum(name in source for entry in entries for name in entry.named_in(source.keys()))


def _block(entry: Entry) -> str:
    """The node on both sides, and the place in the spec that makes it what it is:
    `down_1_block_0 = input_blocks.4.0 (unet.levels[1], a.yaml:18)`."""
    node, prefix = entry.node, entry.prefix
    theirs = f" = {prefix}" if prefix not in ("", node.name) else ""
    where = f", {node.origin.file}:{node.origin.line}" if node.origin.file else ""
    return f"{node.name}{theirs} ({node.origin}{where})"


def _stray(name: str, prefixes: set[str]) -> str:
    """The block that a key without a place belongs to: that of its neighbours, else the start of its name."""
    parts = name.split(".")
    starts = [".".join(parts[:count]) for count in range(len(parts) - 1, 0, -1)]
    return next((start for start in starts if start in prefixes), ".".join(parts[: min(2, max(1, len(parts) - 1))]))


def _below(name: str, prefix: str) -> str:
    return name.removeprefix(f"{prefix}.") if prefix else name


def _listed(items: Sequence[str]) -> str:
    shown = ", ".join(items[:MAX_NAMES])
    return shown if len(items) <= MAX_NAMES else f"{shown} and {len(items) - MAX_NAMES} more"


def _shape(shape: Shape) -> str:
    return "(" + ", ".join(map(str, shape)) + ")"


def _count(number: int, word: str) -> str:
    return f"{number:,} {word}{'' if number == 1 else 's'}"
