"""compared(): the nodes of two plans, matched and folded by stage.

A node is the same in both where it has the same place in the same stage, and stages are the same where their level is:
behind an inserted level, `down 1` of A is `down 2` of B.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from netspec.analysis.summary import BYTES
from netspec.analysis.tables import size
from netspec.diff.choices import Changes, differences
from netspec.errors import path_text
from netspec.plan import Node, Plan
from netspec.resample import Downsample, Upsample

_LEVEL = re.compile(r"(.* )?(\d+)")  # `down 2`, `encoder down 2`: a stage that belongs to a row of `levels`
Key = tuple[str, str]


@dataclass(frozen=True)
class Figures:
    """What a stage or a network costs at `opt`: parameters, multiply-accumulates, bytes that its nodes write in
    float32."""

    params: int = 0
    frozen: int = 0
    macs: int = 0
    written: int = 0

    def __add__(self, other: Figures) -> Figures:
        return Figures(*(a + b for a, b in zip(self.all, other.all, strict=True)))

    def __sub__(self, other: Figures) -> Figures:
        return Figures(*(a - b for a, b in zip(self.all, other.all, strict=True)))

    @property
    def all(self) -> tuple[int, ...]:
        return self.params, self.frozen, self.macs, self.written

    @property
    def gflops(self) -> float:
        return 2 * self.macs / 1e9

    def data(self) -> dict[str, Any]:
        """As plain data, for `--format json`."""
        return {
            "params": self.params,
            "frozen": self.frozen,
            "macs": self.macs,
            "gflops": self.gflops,
            "activation_bytes": self.written,
        }


@dataclass(frozen=True)
class Pair:
    """A node of A and the node of B that stands in its place; one of them where the other network has none."""

    old: Node | None
    new: Node | None
    rewired: str = ""  # what it reads in B instead of what it read in A, both being there in both networks

    @property
    def node(self) -> Node:
        """That of B, or the one that B lacks."""
        found = self.new or self.old
        assert found is not None
        return found

    @cached_property
    def changes(self) -> tuple[str, ...]:
        """What differs between the two, each thing once in words; nothing for a node that is equal or alone."""
        if self.old is None or self.new is None:
            return ()
        found = dict.fromkeys(_changes(self.old, self.new))  # two inputs may change alike
        return (*found, self.rewired) if self.rewired else tuple(found)

    @property
    def differs(self) -> bool:
        return self.old is None or self.new is None or bool(self.changes)


@dataclass(frozen=True)
class Stage:
    """One stage of both networks: its names in A and in B ("" where there is none), and its nodes."""

    old_name: str
    new_name: str
    pairs: tuple[Pair, ...]

    @property
    def name(self) -> str:
        return self.new_name or self.old_name

    @cached_property
    def old(self) -> Figures:
        return figures(pair.old for pair in self.pairs)

    @cached_property
    def new(self) -> Figures:
        return figures(pair.new for pair in self.pairs)

    @property
    def differs(self) -> bool:
        """Whether anything of it does; a stage behind an inserted level only has another name."""
        return self.old != self.new or any(pair.differs for pair in self.pairs) or not (self.old_name and self.new_name)

    @property
    def outputs(self) -> tuple[str, str]:
        """What it makes at `opt`, in A and in B: channels and grid."""
        return _output([p.old for p in self.pairs if p.old]), _output([p.new for p in self.pairs if p.new])

    @property
    def words(self) -> list[str]:
        """What changed, each thing once: `depth 10 -> 4 in 2 spatial`, `+ resnet`. What `outputs` says goes unsaid."""
        both = [pair for pair in self.pairs if pair.old and pair.new]
        said = _width(both[-1]) if both and len(set(self.outputs)) > 1 else ""
        on: dict[str, list[Node]] = {}
        for pair in both:
            for change in pair.changes:
                on.setdefault(change, []).append(pair.node)
        together: dict[tuple[str, ...], list[str]] = {}
        for change, nodes in on.items():
            if change != said:
                together.setdefault(tuple(node.name for node in nodes), []).append(change)
        words = []
        for names, found in together.items():
            where = "" if len(names) == len(both) else f"{_count(on[found[0]])}: "
            words.append(where + ", ".join(found))
        gone = [pair.node for pair in self.pairs if pair.new is None]
        come = [pair.node for pair in self.pairs if pair.old is None]
        return [*words, *([f"- {_count(gone)}"] if gone else []), *([f"+ {_count(come)}"] if come else [])]


def compared(a: Plan, b: Plan, changes: Changes) -> list[Stage]:
    """Every stage of both plans, in B's order, with those of A where they stood."""
    rows = {j: i for i, j in changes.rows.get((b.spec.family.name, "levels"), ())}
    old, new = _Keyed(a, {}), _Keyed(b, rows)
    stages = []
    for stage in _merged(list(old.stages), list(new.stages)):
        keys = _merged(*([key for key in side.nodes if key[0] == stage] for side in (old, new)))
        pairs = (Pair(old.nodes.get(key), new.nodes.get(key), _rewired(key, old, new)) for key in keys)
        stages.append(Stage(old.stages.get(stage, ""), new.stages.get(stage, ""), tuple(pairs)))
    return stages


class _Keyed:
    """One plan's nodes by their stage, named as A names it, and their place inside; and what each of them reads."""

    def __init__(self, plan: Plan, rows: Mapping[int | None, int | None]) -> None:
        self.nodes: dict[Key, Node] = {}
        self.stages: dict[str, str] = {}
        names: dict[str, Key] = {name: ("", name) for name in plan.inputs}
        self.reads: dict[Key, set[Key]] = {}
        for node in plan:
            key = (_stage(node.stage, rows), node.name.removeprefix(node.stage.replace(" ", "_")))
            self.nodes[key] = node
            self.stages[key[0]] = node.stage
            self.reads[key] = {names[value.node] for value in node.inputs}
            names[node.name] = key
        self.known = {*names.values()}

    def called(self, keys: Iterable[Key]) -> str:
        return " and ".join(f"`{self.nodes[key].name if key in self.nodes else key[1]}`" for key in sorted(keys))


def _rewired(key: Key, old: _Keyed, new: _Keyed) -> str:
    """Another source of a node that both networks have. What reads an inserted node is a consequence, and no news."""
    before, after = old.reads.get(key, set()), new.reads.get(key, set())
    gone, come = before - after, after - before
    news = gone <= new.known and come <= old.known
    inputs = any(stage == "" for stage, _ in gone | come)
    return f"reads {new.called(come)} instead of {old.called(gone)}" if gone and come and (news or inputs) else ""


def figures(nodes: Iterable[Node | None]) -> Figures:
    """The sum of what nodes cost."""
    total = Figures()
    for node in nodes:
        if node is not None:
            cost = node.cost
            total += Figures(cost.params, cost.frozen, cost.macs, node.out.elements * BYTES["fp32"])
    return total


def _stage(name: str, rows: Mapping[int | None, int | None]) -> str:
    """A stage of B by its name in A; `+` marks one of a level that A lacks."""
    match = _LEVEL.fullmatch(name)
    if not match or not rows:
        return name
    row = rows.get(int(match[2]))
    return f"+ {name}" if row is None else f"{match[1] or ''}{row}"


def _merged(old: list[Any], new: list[Any]) -> list[Any]:
    """Both lists in one, each thing once: in the order of `new`, what only `old` has behind what stood before it."""
    known, merged = set(new), list(new)
    place = 0
    for item in old:
        if item in known:
            place = merged.index(item) + 1
        else:
            merged.insert(place, item)
            place += 1
    return merged


def _changes(old: Node, new: Node) -> Iterator[str]:
    a, b = old.component, new.component
    if type(a) is not type(b):
        yield f"{a.name} -> {b.name}"
    else:
        for change in differences(a, b):
            yield f"{path_text(change.path)} {change.old_text} -> {change.new_text}"
    if old.out.channels != new.out.channels:
        yield _width(Pair(old, new))
    yield from _input_changes(old, new)


def _width(pair: Pair) -> str:
    assert pair.old is not None
    assert pair.new is not None
    return f"{pair.old.out.channels} -> {pair.new.out.channels} channels"


def _input_changes(old: Node, new: Node) -> Iterator[str]:
    """Widths of what a node reads, where they are not the width of what it makes; and what it reads besides."""
    if len(old.inputs) != len(new.inputs):
        yield f"{len(old.inputs)} -> {len(new.inputs)} inputs"
        return
    for before, after in zip(old.inputs, new.inputs, strict=True):
        widths = before.type.channels, after.type.channels
        if widths[0] != widths[1] and widths != (old.out.channels, new.out.channels):
            name = f"`{after.name}` " if before.name == after.name and "_" not in after.name else "reads "
            yield f"{name}{widths[0]} -> {widths[1]} channels"
        elif before.type.layout != after.type.layout:
            yield f"reads {before.type.layout} -> {after.type.layout}"


def _output(nodes: Sequence[Node]) -> str:
    """What a stage makes, before a change of resolution."""
    inside = [node for node in nodes if not isinstance(node.component, Downsample | Upsample)] or nodes
    return size(inside[-1].out) if inside else ""


def _count(nodes: Sequence[Node]) -> str:
    """`2 resnet + spatial`; what has no weights goes unsaid beside what has."""
    telling = [node for node in nodes if node.cost.params or node.component.kind != "wiring"] or nodes
    names = Counter(node.component.name for node in telling)
    return " + ".join(name if count == 1 else f"{count} {name}" for name, count in names.items())
