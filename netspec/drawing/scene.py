"""scene(): what there is to see of a plan: boxes, what flows between them, and what feeds many of them. No geometry.

The **trunk** is the way from an output back to an input through every node's first input: what a network works on.
Everything else (embeddings, contexts, tables of positions) stands beside it and feeds it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Literal, TypeAlias

from netspec.drawing import words
from netspec.plan import Node, Plan
from netspec.tensors import TensorType

STAGES = ("down", "up", "mid", "stem", "head", "quant")  # what may stand after the name of a half

Kinds: TypeAlias = Literal["flow", "skip", "side"]
Kind: TypeAlias = Literal["conv", "attention", "resample", "embed", "ends", "other"]
KINDS: dict[Kind, str] = {
    "conv": "convolution", "attention": "attention", "resample": "resampling", "embed": "embedding",
    "ends": "first and last layers", "other": "other",
}  # fmt: skip
_KINDS: dict[str, Kind] = {
    "block": "conv", "attention": "attention", "transformer": "attention", "downsample": "resample",
    "upsample": "resample", "embed": "embed", "position": "embed", "modulation": "embed",
}  # fmt: skip
_ROLES: dict[str, Kind] = {
    "stem": "ends", "head": "ends", "embedding": "embed", "position": "embed", "modulation": "embed", "conv": "conv",
}  # fmt: skip


@dataclass(frozen=True)
class Box:
    """One thing with a name: a stage, or an input or output of the network.

    part: the half of the network that it belongs to, "" where there is one; `title` is without it.
    nodes: all of them, those without weights too; count: how many equal ones it is drawn for.
    read: the inputs that it is drawn with, since nothing else reads them.
    fed: the boxes beside the trunk that feed it.
    """

    id: str
    role: Literal["stage", "side", "input", "output"]
    title: str
    type: TensorType
    part: str = ""
    nodes: tuple[Node, ...] = ()
    count: int = 1
    read: tuple[str, ...] = ()
    fed: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """What it is made of; "" where the title says it."""
        text = words.told(self.nodes) if self.nodes and self.count == 1 else ""
        return "" if text.lower() == self.title.lower() else text

    @property
    def size(self) -> str:
        return words.size(self.type)

    @property
    def cells(self) -> tuple[Node, ...]:
        """The nodes worth a mark of their own."""
        return tuple(node for node in self.nodes if not words.plumbing(node)) or self.nodes

    @property
    def sketch(self) -> tuple[tuple[str, ...], ...]:
        """What stands inside each of several equal nodes."""
        return _sketch(self.cells)

    @property
    def macs(self) -> int:
        return sum(node.cost.macs for node in self.nodes)

    @property
    def params(self) -> int:
        return sum(node.cost.params for node in self.nodes)


@dataclass(frozen=True)
class Edge:
    """What goes from one box to another: `flow` along the trunk, `skip` past some of it, `side` from beside it.

    pairs: the nodes at both ends, one pair for each tensor.
    """

    source: str
    target: str
    kind: Kinds
    pairs: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Scene:
    """Everything that is to be seen. `trunks` are the boxes of each way from input to output, in order."""

    plan: Plan
    boxes: dict[str, Box]
    trunks: tuple[tuple[str, ...], ...]
    sides: tuple[str, ...]
    edges: tuple[Edge, ...]

    def feeds(self, source: str) -> tuple[str, ...]:
        """The boxes that one feeds."""
        return tuple(edge.target for edge in self.edges if edge.source == source)


def scene(plan: Plan) -> Scene:
    """What there is to see of a plan."""
    return _Viewer(plan).scene()


def kind(node: Node) -> Kind:
    """What a node is in the legend."""
    component = node.component
    if words.turn(node):
        return "resample"
    if (found := _KINDS.get(component.kind) or _ROLES.get(component.role)) is not None:
        return found
    if node.out.layout == "vector":
        return "embed"
    if component.sketch():
        return "attention"
    return "conv" if node.cost.macs and node.out.layout == "image" else "other"


@dataclass
class _Group:
    """Nodes that become one box."""

    stage: str
    side: bool
    nodes: list[Node] = field(default_factory=list)


Pairs: TypeAlias = "dict[tuple[str, str], list[tuple[str, str]]]"  # boxes → the nodes at both ends


class _Viewer:
    """Finds the boxes of one plan and what goes between them."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.ways = {name: _way(plan, value.node) for name, value in plan.outputs.items()}
        self.on_trunk = {name for way in self.ways.values() for name in way}
        groups = _grouped(plan, self.on_trunk)
        self.groups = {f"s{number}": part for number, part in enumerate(p for g in _settled(groups) for p in _split(g))}
        self.home = {node.name: id for id, group in self.groups.items() for node in group.nodes}

    def scene(self) -> Scene:
        pairs = self._pairs()
        read = self._read(pairs["side"])
        inside = {f"i-{name}" for names in read.values() for name in names}
        pairs["side"] = {pair: found for pair, found in pairs["side"].items() if pair[0] not in inside}
        boxes = {id: self._stage(id, read.get(id, ()), pairs["side"]) for id in self.groups}
        for name, type_ in self.plan.inputs.items():
            if f"i-{name}" not in inside:
                boxes[f"i-{name}"] = Box(f"i-{name}", "input", name, type_)
        for name, value in self.plan.outputs.items():
            boxes[f"o-{name}"] = Box(f"o-{name}", "output", name, value.type)
        edges = tuple(Edge(*pair, kind, tuple(nodes)) for kind, found in pairs.items() for pair, nodes in found.items())
        trunks = tuple(
            tuple(dict.fromkeys([*map(self._id, way), f"o-{name}"])) for name, way in self.ways.items()
        )  # fmt: skip
        on_trunk = {box for way in trunks for box in way}
        return Scene(self.plan, boxes, trunks, tuple(id for id in boxes if id not in on_trunk), edges)

    def _pairs(self) -> dict[Kinds, Pairs]:
        """Everything that goes from box to box. What skips nothing but the flow beside it is a part of that."""
        flows: Pairs = defaultdict(list)
        skips: Pairs = defaultdict(list)
        sides: Pairs = defaultdict(list)
        for node in self.plan:
            for place, value in enumerate(node.inputs):
                pair = self._id(value.node), self._id(node.name)
                unread = value.type.layout == "weight" or place in node.component.measured
                if pair[0] == pair[1] or unread:
                    continue
                if value.node not in self.on_trunk:
                    sides[pair].append((value.node, node.name))
                elif node.name in self.on_trunk:
                    (flows if place == 0 else skips)[pair].append((value.node, node.name))
        for name, value in self.plan.outputs.items():
            flows[self._id(value.node), f"o-{name}"].append((value.node, name))
        past = {pair: nodes for pair, nodes in skips.items() if pair not in flows}
        beside = {
            pair: nodes for pair, nodes in sides.items() if pair[0] not in self.groups or self.groups[pair[0]].side
        }
        return {"flow": flows, "skip": past, "side": beside}

    def _read(self, sides: Pairs) -> dict[str, tuple[str, ...]]:
        """The inputs that are drawn inside a box beside the trunk: those that it reads, and what goes with it wherever
        it goes, such as a mask."""
        targets: dict[str, set[str]] = defaultdict(set)
        for source, target in sides:
            targets[source].add(target)
        beside = [id for id, group in self.groups.items() if group.side]
        found: dict[str, tuple[str, ...]] = defaultdict(tuple)
        for name in self.plan.inputs:
            mine = targets[f"i-{name}"]
            owners = [id for id in beside if id in mine] or [id for id in beside if targets[id] == mine]
            if name not in self.on_trunk and owners:
                found[owners[0]] += (name,)
        return found

    def _stage(self, id: str, read: tuple[str, ...], sides: Pairs) -> Box:
        group = self.groups[id]
        part, title = _parted(group.stage)
        telling = [node for node in group.nodes if not words.plumbing(node)]
        blocks = bool(_sketch(telling))
        return Box(
            id, "side" if group.side else "stage", words.named(telling[0]) if blocks else title,
            _made(group.nodes, self.on_trunk), part, tuple(group.nodes), len(telling) if blocks else 1, read,
            tuple(source for source, target in sides if target == id),
        )  # fmt: skip

    def _id(self, name: str) -> str:
        """The box of a node or an input."""
        return self.home.get(name, f"i-{name}")


def _grouped(plan: Plan, trunk: Collection[str]) -> list[_Group]:
    """Nodes of the trunk that follow each other in one stage; of each stage, those that stand beside it."""
    groups: list[_Group] = []
    last: _Group | None = None
    beside: dict[str, _Group] = {}
    for node in plan:
        side = node.name not in trunk
        mine = beside.get(node.stage) if side else last
        if mine is None or mine.stage != node.stage:
            mine = _Group(node.stage, side)
            groups.append(mine)
        if side:
            beside[node.stage] = mine
        else:
            last = mine
        mine.nodes.append(node)
    return groups


def _made(nodes: Sequence[Node], trunk: Collection[str]) -> TensorType:
    """What a stage makes: of the trunk before a change of resolution, beside it before positions and joins."""
    own = [node for node in nodes if node.name in trunk] or [node for node in nodes if node.cost.params] or nodes
    return ([node for node in own if not words.turn(node)] or own)[-1].out


def _way(plan: Plan, name: str) -> list[str]:
    """From an input to the node that makes an output, through first inputs."""
    way = [name]
    while (node := plan.by_name.get(way[-1])) is not None and node.inputs:
        way.append(node.inputs[0].node)
    return way[::-1]


def _settled(groups: list[_Group]) -> list[_Group]:
    """Groups of the trunk that only bring tensors together go to the next one; what stands beside a stage of the
    trunk goes to that stage."""
    kept: list[_Group] = []
    waiting: list[Node] = []
    for group in groups:
        if not group.side and all(map(words.plumbing, group.nodes)):
            waiting += group.nodes
            continue
        if not group.side:
            group.nodes, waiting = [*waiting, *group.nodes], []
        kept.append(group)
    if waiting:
        last = next((group for group in reversed(kept) if not group.side), None)
        if last is None:
            kept.append(_Group(waiting[0].stage, False, waiting))
        else:
            last.nodes += waiting
    trunk = {group.stage: group for group in kept if not group.side}
    for group in [group for group in kept if group.side and group.stage in trunk]:
        trunk[group.stage].nodes += group.nodes
        kept.remove(group)
    return kept


def _split(group: _Group) -> list[_Group]:
    """A stage of blocks that a picture looks into, as one group for each run of equal ones."""
    if group.side or not any(node.component.sketch() for node in group.nodes):
        return [group]
    runs: list[_Group] = []
    waiting: list[Node] = []
    for component, nodes in groupby(group.nodes, key=lambda node: node.component):
        if component.sketch():
            runs.append(_Group(group.stage, False, [*waiting, *nodes]))
            waiting = []
        elif runs:
            runs[-1].nodes += nodes
        else:
            waiting += nodes
    return runs


def _sketch(nodes: Sequence[Node]) -> tuple[tuple[str, ...], ...]:
    """What stands inside each of several equal nodes; nothing where they differ."""
    return nodes[0].component.sketch() if len({node.component for node in nodes}) == 1 else ()


def _parted(stage: str) -> tuple[str, str]:
    """`encoder down 0` as ("encoder", "down 0")."""
    part, _, rest = stage.partition(" ")
    return (part, rest) if rest.partition(" ")[0] in STAGES else ("", stage)
