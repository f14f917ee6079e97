"""The plan: a flat, ordered list of nodes with the types that flow between them and what each costs. No torch."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, replace
from difflib import get_close_matches
from functools import cache, cached_property
from pathlib import PurePath
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from netspec.costs import Cost
from netspec.errors import Diagnostic, SpecPath, UnknownName, path_text
from netspec.registry import Component, Record, declared, parse
from netspec.tensors import TensorType

if TYPE_CHECKING:
    from netspec.spec import Spec


@dataclass(frozen=True, slots=True)
class Value:
    """A tensor in the plan: the name of the input or node that makes it, and its type.

    A `weight` is named by its key in the state dict, such as `down_1_block_0.conv.weight`: its node owns it, so it is
    counted, stored and initialised there, and a node that takes it as an input shares it.
    """

    name: str
    type: TensorType

    @property
    def node(self) -> str:
        """The input or node that it belongs to."""
        return self.name.partition(".")[0]


@dataclass(frozen=True, slots=True)
class Origin:
    """Where in the spec a node comes from: `path`, the row that it belongs to, or else `at`, where its component is
    chosen."""

    path: SpecPath
    file: str = ""
    line: int = 0
    at: SpecPath = ()

    @property
    def source(self) -> str:
        """`sd15.yaml:21`: the file by its bare name, so that nothing of a machine travels with a network."""
        name = PurePath(self.file).name
        return f"{name}:{self.line}" if name and self.line else name

    def __str__(self) -> str:
        return path_text(self.path)


@dataclass(frozen=True)
class Node:
    """One module of the network. `name` is also its fx node, its state-dict prefix and its ONNX scope."""

    name: str
    component: Component
    inputs: tuple[Value, ...]
    out: TensorType
    origin: Origin
    stage: str  # the row of the summary it belongs to: "down 1", "mid", "blocks"

    @cached_property
    def cost(self) -> Cost:
        """Computed when asked for: a sweep that only counts sizes need not pay for it."""
        return self.component.cost(*self.types, out=self.out)

    @property
    def types(self) -> tuple[TensorType, ...]:
        return tuple(value.type for value in self.inputs)

    @property
    def value(self) -> Value:
        return Value(self.name, self.out)


@dataclass(frozen=True)
class Plan:
    """A checked network, ready to be built, drawn or costed."""

    spec: Spec
    inputs: Mapping[str, TensorType]
    nodes: tuple[Node, ...]
    outputs: Mapping[str, Value]  # the spec's output names and who makes them
    whole: Plan | None = None  # the network that this is a part of

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes)

    def __deepcopy__(self, memo: object) -> Plan:
        """A copied network shares its plan, which nobody can change."""
        return self

    @cached_property
    def cost(self) -> Cost:
        """The whole network's cost at `opt`."""
        total = Cost()
        for node in self.nodes:
            total = total + node.cost
        return total

    @cached_property
    def by_name(self) -> Mapping[str, Node]:
        return {node.name: node for node in self.nodes}

    def only(self, outputs: Sequence[str]) -> Plan:
        """The part of the network that makes these outputs, in this order: what they do not need is left out.

        Nodes keep their names, so weights are found in a file of the whole network. Raises UnknownName (NS216).
        """
        for name in outputs:
            if name not in self.outputs:
                raise UnknownName(_no_output(name, self.outputs))
        made = {name: self.outputs[name] for name in outputs}
        nodes = needed(self.nodes, made.values())
        read = {value.name for value in (*made.values(), *(value for node in nodes for value in node.inputs))}
        inputs = {name: type_ for name, type_ in self.inputs.items() if name in read}
        whole = self.whole or self
        return replace(self, inputs=MappingProxyType(inputs), nodes=nodes, outputs=MappingProxyType(made), whole=whole)

    def called(self, output: str) -> str:
        """An output in a sentence: by its name where there are several."""
        return f"`{output}`" if len(self.spec.outputs) > 1 else "the output"

    @cached_property
    def peak_elements(self) -> int:
        """Numbers alive at once between nodes at `opt`: what inference must at least hold as activations."""
        last = {value.name: index for index, node in enumerate(self.nodes) for value in node.inputs}
        last |= {value.name: len(self.nodes) for value in self.outputs.values()}
        freed: Counter[int] = Counter()  # numbers that nobody reads behind a node, by its index
        alive = 0
        for name, type_ in self.inputs.items():
            if name in last:
                alive += type_.elements
                freed[last[name]] += type_.elements
        peak = alive
        for index, node in enumerate(self.nodes):
            size = node.out.elements
            alive += size
            peak = max(peak, alive)
            freed[max(index, last.get(node.name, index))] += size
            alive -= freed[index]
        return peak

    def text(self) -> str:
        """The plan as lines of text: one node a line, stable, made for diffs."""
        lines = [f"{name}: {type_}" for name, type_ in self.inputs.items()]
        for node in self.nodes:
            operands = ", ".join(value.name for value in node.inputs)
            lines.append(f"{node.name} = {describe(node.component)}({operands}): {node.out}  # {node.cost.params:,}")
        lines += [f"{name} <- {value.name}: {value.type}" for name, value in self.outputs.items()]
        lines.append(f"params {self.cost.params:,}  frozen {self.cost.frozen:,}  macs {self.cost.macs:,}")
        return "\n".join(lines) + "\n"

    @cached_property
    def sha256(self) -> str:
        """Identity of the architecture: equal plans have equal text."""
        return hashlib.sha256(self.text().encode()).hexdigest()


def needed(nodes: Sequence[Node], wanted: Iterable[Value]) -> tuple[Node, ...]:
    """The nodes that some values depend on, in order."""
    reached = {value.node for value in wanted}
    for node in reversed(nodes):
        if node.name in reached:
            reached.update(value.node for value in node.inputs)
    return tuple(node for node in nodes if node.name in reached)


def _no_output(name: str, outputs: Collection[str]) -> Diagnostic:
    close = get_close_matches(name, outputs, n=1)
    meant = (f"did you mean `{close[0]}`?",) if close else ()
    return Diagnostic("NS216", f"unknown output `{name}`", help=(*meant, f"outputs: {', '.join(outputs)}"))


def describe(record: Record) -> str:
    """`group(eps=1e-06)`: the component and every choice in which it differs from its defaults."""
    usual = _defaults(type(record))  # type: ignore[arg-type]  # classes are hashable
    chosen = {name: getattr(record, name) for name in declared(type(record))}
    settings = ", ".join(f"{k}={_brief(v)}" for k, v in chosen.items() if usual.get(k, _NOTHING) != v)
    name = record.name if isinstance(record, Component) else ""
    return f"{name}({settings})" if settings or not name else name


_NOTHING = object()


@cache
def _defaults(record: type[Record]) -> Mapping[str, Any]:
    """The values of the fields that need not be written."""
    fields = declared(record).values()
    return {f.name: parse(f.type, None, {}, f.default) for f in fields if f.default is not MISSING}


def _brief(value: object) -> str:
    match value:
        case None:
            return "none"
        case Record():
            return describe(value)
        case tuple():
            return "[" + ", ".join(map(_brief, value)) + "]"
        case _:
            return str(value)
