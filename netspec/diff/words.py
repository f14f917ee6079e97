"""Numbers and changes in the words that every form of a difference uses."""

from __future__ import annotations

from collections.abc import Iterator

from netspec.analysis.tables import amount
from netspec.diff.carried import FATES, Fate
from netspec.diff.choices import Change, Group, written
from netspec.diff.difference import Difference
from netspec.diff.stages import Figures, Stage

HEADINGS: dict[Group, str] = {"choices": "choices", "interface": "interface", "notes": "said about it"}
_LONGEST = 160  # characters of a value that is shown; `--format json` has all of it


def signed(number: int) -> str:
    """`+6,389,760`, or nothing where nothing changes."""
    return f"{number:+,}" if number else ""


def share(old: float, new: float) -> str:
    """`+0.7 %` of what was there; nothing where nothing was, or nothing changes."""
    return f"{100 * (new - old) / old:+,.1f} %" if old and new != old else ""


def signed_bytes(old: int, new: int) -> str:
    """`-13.1 MB`."""
    if old == new:
        return ""
    return f"{'+' if new > old else '-'}{amount(abs(new - old))}"


def signed_gflops(old: Figures, new: Figures) -> str:
    """`-4.76`."""
    return f"{new.gflops - old.gflops:+,.2f}" if new.macs != old.macs else ""


def sign(change: Change) -> str:
    """`+` for what is new, `-` for what is gone."""
    return {"added": "+", "removed": "-", "changed": " "}[change.kind]


def values(change: Change) -> str:
    """`8 -> none`; the value alone where only one network has it."""
    texts = (short(change.old_text), short(change.new_text))
    return " -> ".join(texts) if change.kind == "changed" else texts[change.kind == "added"]


def moved(change: Change) -> str:
    """Where a choice stood in A, if that was elsewhere: behind an inserted row."""
    elsewhere = change.before and change.after and change.before != change.after
    return f"was {written(change.before)}" if elsewhere and change.before else ""


def following(change: Change) -> Iterator[str]:
    """What follows from a change, each thing once."""
    rows = [each for each in change.follows if each.shared == change.path]
    if rows:
        tail = len(change.path) - 1  # below the family: `transformer.num_heads`
        yield "also in " + ", ".join(written(each.path[1:-tail] if tail else each.path) for each in rows)
    groups: dict[tuple[str, str], list[Change]] = {}
    for each in change.follows:
        if each not in rows:
            groups.setdefault((str(each.path[-1]), values(each)), []).append(each)
    for (name, text), found in groups.items():
        yield f"{name} {text} in {len(found)} places" if len(found) > 1 else f"{found[0].where} {text}"


def outputs(stage: Stage) -> str:
    """`320 x 64 x 64 -> 320 x 96 x 96`, where the stage makes something else."""
    old, new = stage.outputs
    return f"{old} -> {new}" if old and new and old != new else ""


def renamed(stage: Stage) -> str:
    """`down 2, was down 1`."""
    if not stage.new_name:
        return f"{stage.old_name}, gone"
    if not stage.old_name:
        return f"{stage.new_name}, new"
    return stage.name if stage.old_name == stage.new_name else f"{stage.new_name}, was {stage.old_name}"


def weights(difference: Difference) -> tuple[str, list[tuple[str, str]]]:
    """Whether A's weights load, in a sentence, and for each kind of node for which they do not, or not as they are, how
    many nodes and numbers, and where they stand."""
    carry = difference.weights
    (nodes, of_nodes), (loaded, of_numbers) = carry.nodes, carry.share
    if carry.loads:
        title = f"A's weights load into B: all {of_nodes} nodes, {of_numbers:,} numbers"
    elif nodes == of_nodes:
        title = f"A's weights fill B and more is left: all {of_nodes} nodes, {of_numbers:,} numbers"
    elif not nodes:
        title = f"A's weights do not load into B: none of {of_nodes} nodes"
    else:
        part = f"{nodes} of {of_nodes} nodes, {loaded:,} of {of_numbers:,} numbers"
        title = f"A's weights load in part: {part} ({part_of(loaded, of_numbers)})"
    lines = []
    for fate in FATES:
        found = carry.of(fate)
        if fate != "same" and found:
            places = ", ".join(dict.fromkeys(pair.node.stage for pair in found))
            lines.append((f"{len(found)} {'node' if len(found) == 1 else 'nodes'}, {carry.numbers(fate):,}",
                          f"{_fate(fate, len(found))}: {places}"))  # fmt: skip
    return title, lines


def part_of(part: int, whole: int) -> str:
    """`68.4 %`; `100 %` is all of it, and nothing less."""
    share = 100 * part / whole if whole else 100.0
    return "100 %" if part == whole else f"{min(share, 99.9):.1f} %"


def _fate(fate: Fate, count: int) -> str:
    words = FATES[fate]
    one = {"load,": "loads,", "fit": "fits", "have": "has", "are": "is"}
    first, _, rest = words.partition(" ")
    return f"{one[first]} {rest}" if count == 1 else words


def short(text: str) -> str:
    """A value, cut where it is long."""
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
