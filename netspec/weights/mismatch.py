"""Why weights do not fit a network: one diagnostic for each kind of mismatch, one line for each kind of block."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest

from netspec.errors import Diagnostic, WeightsError
from netspec.plan import Plan
from netspec.weights.checkpoint import Checkpoint
from netspec.weights.explain import explanations
from netspec.weights.fit import Misfit
from netspec.weights.layouts import Entry
from netspec.weights.layouts.transforms import Shape
from netspec.weights.recognise import AUTO, Reading, recognise

MAX_LINES = 6  # for each kind of mismatch
MAX_NAMES = 3  # tensors on one line
MAX_STEPS = 3  # blocks named one by one

_NUMBER = re.compile(r"\d+")


@dataclass
class _Finding:
    """One kind of mismatch, by block: a node, or the start of keys that belong to none."""

    code: str
    message: str  # with {tensors} and {blocks}
    blocks: dict[_Block, list[_Item]] = field(default_factory=dict)

    def add(self, block: _Block, name: str, what: str = "", kind: object = None) -> None:
        self.blocks.setdefault(block, []).append(_Item(name, what, kind))

    def diagnostic(self, help_text: Sequence[str]) -> Diagnostic:
        tensors = sum(map(len, self.blocks.values()))
        lines = list(_folded(self.blocks))
        notes = lines[:MAX_LINES]
        if (more := len(lines) - MAX_LINES) > 0:
            notes.append(f"and {more} more kinds of block" if more > 1 else "and 1 more kind of block")
        counted = self.message.format(tensors=_count(tensors, "tensor"), blocks=_count(len(self.blocks), "block"))
        return Diagnostic(self.code, counted, notes=tuple(notes), help=tuple(help_text))


@dataclass(frozen=True)
class _Item:
    """One tensor below a block, what is wrong with it, and what that has in common with the same tensor elsewhere."""

    name: str
    what: str
    kind: object


@dataclass(frozen=True)
class _Block:
    """What a line is about: our node and its foreign prefix, or a foreign prefix alone; and where the spec says it."""

    ours: str
    theirs: str
    where: str = ""

    @property
    def kind(self) -> tuple[str, str]:
        """Equal for blocks that repeat."""
        return _NUMBER.sub("#", self.ours), _NUMBER.sub("#", self.theirs)


def check_fit(reading: Reading, checkpoint: Checkpoint, plan: Plan) -> None:
    """Raise WeightsError with every mismatch between a checkpoint and a plan: NS603 missing, NS604 unexpected, NS605
    wrong shape, NS606 numbers that are no floats. Where choices of the spec explain them, it says which."""
    if reading.fit.fits:
        return
    found = [finding for finding in findings(reading) if finding.blocks]
    hints = tuple(_hints(reading, checkpoint, plan))
    raise WeightsError(*(each.diagnostic(hints if each is found[0] else ()) for each in found))


def report(reading: Reading) -> Iterator[str]:
    """Every mismatch in a few short lines, for a list of candidates."""
    for word, finding in zip(("lacks", "has besides", "differs in", "no floats in"), findings(reading), strict=True):
        lines = list(_folded(finding.blocks, places=False))
        yield from (f"{word} {line}" for line in lines[:2])
        if len(lines) > 2:
            yield f"{word} {_count(sum(map(len, finding.blocks.values())), 'tensor')} altogether"


def findings(reading: Reading) -> list[_Finding]:
    """What is wrong, of each kind, by block."""
    fit, label = reading.fit, reading.source.label
    missing = _Finding("NS603", f"{label} lacks {{tensors}} of {{blocks}}")
    unexpected = _Finding("NS604", f"{label} has {{tensors}} in {{blocks}} that the network does not")
    shapes = _Finding("NS605", f"{label} has another shape for {{tensors}} of {{blocks}}")
    dtypes = _Finding("NS606", f"{label} has no floating-point numbers for {{tensors}} of {{blocks}}")
    for each in fit.missing:
        missing.add(_block(each.entry), _leaf(each))
    prefixes = {entry.prefix for entry in reading.entries if entry.prefix}
    for name in fit.unexpected:
        start = _stray(name, prefixes)
        unexpected.add(_Block("", start), _below(name, start))
    for each in fit.shapes:
        what = f" is {_shape(each.found)}, expected {_shape(each.expected)}"
        shapes.add(_block(each.entry), _leaf(each), what, _sizes(each))
    for each in fit.dtypes:
        dtypes.add(_block(each.entry), _leaf(each), f" is {reading.source.infos[each.name].dtype}")
    return [missing, unexpected, shapes, dtypes]


def _hints(reading: Reading, checkpoint: Checkpoint, plan: Plan) -> Iterator[str]:
    other = _other_layout(reading, checkpoint, plan)
    if other:
        yield f"these keys are those of layout `{other}`"
        return
    yield from explanations(reading, plan)


def _other_layout(reading: Reading, checkpoint: Checkpoint, plan: Plan) -> str:
    """The layout whose keys these are, where it is not the one that was tried."""
    try:
        best = recognise(checkpoint, plan, AUTO)
    except WeightsError:
        return ""
    better = best.fit.matched > 2 * reading.fit.matched and best.layout.name != reading.layout.name
    return best.layout.name if better else ""


# One line for what repeats


def _folded(blocks: dict[_Block, list[_Item]], *, places: bool = True) -> Iterator[str]:
    """A line for each kind of block with the same items: `block_0 … block_27 = blocks.0 … blocks.27 (dit): …`.

    Blocks whose widths differ are one kind where they differ from what is expected in the same sizes.
    """
    kinds: dict[tuple[object, ...], list[_Block]] = {}
    for block, items in blocks.items():
        kinds.setdefault((block.kind, *((item.name, item.kind) for item in items)), []).append(block)
    for same in kinds.values():
        yield f"{_names(same, places)}: {_listed(blocks[same[0]])}"


def _names(blocks: Sequence[_Block], places: bool) -> str:
    first = blocks[0]
    sides = [_range([each.ours for each in blocks]), _range([each.theirs for each in blocks])]
    name = " = ".join(dict.fromkeys(each for each in sides if each))
    return name + (f" ({first.where})" if places and first.where else "")


def _range(names: Sequence[str]) -> str:
    """`block_0 … block_27` for names that count up, else the names, or the first of them and how many more."""
    if len(set(names)) == 1:
        return names[0]
    numbers = [tuple(map(int, _NUMBER.findall(name))) for name in names]
    moving = [index for index, values in enumerate(zip(*numbers, strict=True)) if len(set(values)) > 1]
    values = [number[moving[0]] for number in numbers] if len(moving) == 1 else []
    if len(names) > 2 and values and values == list(range(values[0], values[0] + len(values))):
        return f"{names[0]} … {names[-1]}"
    return ", ".join(names) if len(names) <= MAX_STEPS else f"{names[0]}, {names[1]} and {len(names) - 2} more"


def _block(entry: Entry) -> _Block:
    """The node on both sides, and the place in the spec that makes it what it is:
    `down_1_block_0 = input_blocks.4.0 (unet.levels[1], a.yaml:18)`."""
    origin = entry.node.origin
    where = f"{origin}, {origin.file}:{origin.line}" if origin.file else str(origin)
    return _Block(entry.node.name, "" if entry.prefix == entry.node.name else entry.prefix, where)


def _stray(name: str, prefixes: set[str]) -> str:
    """The block that a key without a place belongs to: that of its neighbours, else the start of its name."""
    parts = name.split(".")
    starts = [".".join(parts[:count]) for count in range(len(parts) - 1, 0, -1)]
    return next((start for start in starts if start in prefixes), ".".join(parts[: min(2, max(1, len(parts) - 1))]))


def _leaf(misfit: Misfit) -> str:
    return _below(misfit.name, misfit.entry.prefix)


def _below(name: str, prefix: str) -> str:
    return name.removeprefix(f"{prefix}.") if prefix else name


def _listed(items: Sequence[_Item]) -> str:
    """The modules, where their weight and bias share the fault, else the tensors."""
    names = {item.name for item in items}
    texts = []
    for item in items:
        module, _, leaf = item.name.rpartition(".")
        if leaf == "bias" and f"{module}.weight" in names:
            continue
        texts.append(f"{module if leaf == 'weight' and f'{module}.bias' in names else item.name}{item.what}")
    shown = ", ".join(texts[:MAX_NAMES])
    return shown if len(texts) <= MAX_NAMES else f"{shown} and {len(texts) - MAX_NAMES} more"


def _sizes(misfit: Misfit) -> object:
    """The sizes that differ, by axis."""
    return tuple((i, pair) for i, pair in enumerate(zip_longest(misfit.expected, misfit.found)) if pair[0] != pair[1])


def _shape(shape: Shape) -> str:
    return "(" + ", ".join(map(str, shape)) + ")"


def _count(number: int, word: str) -> str:
    return f"{number:,} {word}{'' if number == 1 else 's'}"
