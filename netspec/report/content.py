"""What a plan puts into a report, as plain records in reading order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from netspec.analysis import Summary
from netspec.analysis.summary import Row
from netspec.analysis.tables import amount, size
from netspec.bundle import Manifest
from netspec.plan import Node, Plan
from netspec.tensors import TensorType


@dataclass(frozen=True, slots=True)
class Figure:
    """One thing that a reader wants to know first: a number, and what it means."""

    name: str
    value: str
    words: str
    state: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """Costs of a stage or a node at `opt`; `memory` is the bytes, in float32, of what it hands on."""

    name: str
    what: str
    output: str
    params: int
    gflops: float
    memory: int
    place: str = ""  # net.yaml:21
    path: str = ""  # unet.levels[1]


@dataclass(frozen=True, slots=True)
class Stage:
    """A line of the table of stages, the largest share of the network that each of its costs is, and its nodes."""

    line: Line
    shares: tuple[float, float, float]  # of parameters, GFLOPs, memory: 0 to 1
    nodes: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Port:
    """An input or output: sizes as written, and in numbers at min, opt and max."""

    name: str
    side: str
    dtype: str
    shape: str
    sizes: tuple[str, str, str]
    meaning: str


@dataclass(frozen=True, slots=True)
class Command:
    """What repeats something, and what."""

    text: str
    words: str


def figures(summary: Summary) -> list[Figure]:
    """What the network costs."""
    cost = summary.plan.cost
    sizes = ", ".join(f"{name} {value}" for name, value in summary.sizes.items())
    stored = ", ".join(f"{amount(summary.weights_bytes(name))} in {name}" for name in ("fp32", "fp16", "int8"))
    fixed = f"; {cost.frozen:,} more are fixed" if cost.frozen else ""
    return [
        Figure("parameters", f"{cost.params:,}", f"{stored}{fixed}"),
        Figure("compute", f"{_short(summary.gflops)} GFLOPs", f"at {sizes}" if sizes else "at its fixed sizes"),
        Figure(
            "activations", amount(summary.activation_bytes()), "the most alive at once between nodes, fp32, same sizes"
        ),
    ]


def _short(value: float) -> str:
    return f"{value:,.2f}" if value >= 0.1 else f"{value:.3g}"


def stages(summary: Summary) -> list[Stage]:
    """Every stage with its nodes. Shares are of the whole network."""
    lines = [_stage(row) for row in summary.rows]
    whole = total(lines)
    return [
        Stage(
            line,
            (_share(line.params, whole.params), _share(line.gflops, whole.gflops), _share(line.memory, whole.memory)),
            tuple(map(_node, row.nodes)),
        )
        for line, row in zip(lines, summary.rows, strict=True)
    ]


def total(lines: Sequence[Line]) -> Line:
    """The sum of some lines."""
    return Line(
        "total", "", "", sum(each.params for each in lines), sum(each.gflops for each in lines),
        sum(each.memory for each in lines),
    )  # fmt: skip


def _stage(row: Row) -> Line:
    memory = sum(4 * node.out.elements for node in row.nodes)
    return Line(row.stage, row.blocks, _size(row.output), row.cost.params, row.gflops, memory)


def _node(node: Node) -> Line:
    cost = node.cost
    component = f"{node.component.kind} {node.component.name}"
    memory = 4 * node.out.elements
    return Line(
        node.name, component, _size(node.out), cost.params, cost.gflops, memory, node.origin.source,
        str(node.origin),
    )  # fmt: skip


def _size(type_: TensorType) -> str:
    return size(type_).replace(" x ", " × ")


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


def ports(plan: Plan, meanings: Mapping[str, str]) -> list[Port]:
    """The contract: what goes in, what comes out."""
    spec = plan.spec
    found = [_port(name, "input", type_, str(spec.inputs[name]), meanings) for name, type_ in plan.inputs.items()]
    for name, value in plan.outputs.items():
        found.append(_port(name, "output", value.type, str(spec.outputs[name]), meanings))
    return found


def parts(plan: Plan) -> list[Line]:
    """What each output costs alone, where there are several."""
    costs = ((name, plan.only([name]).cost) for name in plan.outputs if len(plan.outputs) > 1)
    return [Line(name, "", "", cost.params, cost.gflops, 0) for name, cost in costs]


def _port(name: str, side: str, type_: TensorType, shape: str, meanings: Mapping[str, str]) -> Port:
    sizes = tuple(" × ".join(str(each.at(point)) for each in type_.shape) for point in ("min", "opt", "max"))
    return Port(name, side, type_.dtype or "float", shape, (sizes[0], sizes[1], sizes[2]), meanings.get(name, ""))


def commands(plan: Plan, manifest: Manifest | None) -> Iterator[Command]:
    """What repeats this, in the bundle's folder."""
    if manifest is None:
        yield Command("netspec build SPEC", "the files, and the proof that they are this network")
        return
    weights = manifest.recipe.get("weights", "")
    parity = manifest.recipe.get("parity") != "off"
    checks = "hashes, structure and parity" if parity and weights != "none" else "hashes and structure"
    yield Command("netspec verify .", f"{checks} again")
    options = [*_weights(weights), *([] if parity else ["--no-parity"])]
    if [*manifest.targets] != [*plan.spec.targets]:
        options += [f"--target {name}" for name in manifest.targets]
    yield Command(" ".join(["netspec build spec.yaml -o DIR", *options]), "the same choices again")
    if weights == "none":
        return
    yield Command("netspec bind . WEIGHTS", "other weights for the same graphs")
    yield Command("netspec bench . --per-node --format json > ../bench.json", "how fast it runs on this machine")
    yield Command("netspec report . --bench ../bench.json --open", "this page with those figures, beside the bundle")


def _weights(recipe: str) -> list[str]:
    """The options that bind the same weights again."""
    if recipe.startswith("random, seed "):
        seed = recipe.removeprefix("random, seed ")
        return [] if seed == "0" else [f"--seed {seed}"]
    return ["--weights none" if recipe == "none" else "--weights FILE"]


def hashes(plan: Plan) -> list[tuple[str, str]]:
    """What the network is by its choices, and by its nodes."""
    return [("spec", plan.spec.sha256), ("plan", plan.sha256)]
