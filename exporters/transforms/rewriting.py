"""Rewrite: a network opened into graphs of leaves, one for every forward, whose values have known sizes.

A part that has been opened is an `fx.GraphModule` under its old name, with its old parameters and children. So a leaf
still belongs to the module that it did: precision, names in graphs and weights follow that.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, fx, nn
from torch.fx.node import map_arg

from exporters.lowering import table
from exporters.lowering.tracer import LeafTracer, traced
from netspec.errors import Diagnostic, ExportError
from netspec.plan import Plan
from netspec.transform import Transform


@dataclass(frozen=True)
class Forward:
    """The forward of one module as a graph. `shapes` holds what each value was at the smallest and largest sizes."""

    path: str
    module: fx.GraphModule
    shapes: Mapping[fx.Node, Sequence[torch.Size]]

    @property
    def graph(self) -> fx.Graph:
        return self.module.graph

    def rank(self, node: fx.Node) -> int:
        """How many axes a value has."""
        return len(self.shapes[node][0])

    def sizes(self, node: fx.Node, axis: int) -> tuple[int, int]:
        """The smallest and the largest size along an axis; equal ones never vary."""
        found = [shape[axis] for shape in self.shapes[node]]
        return min(found), max(found)

    def calls(self, kind: type[nn.Module]) -> Iterator[tuple[fx.Node, Any]]:
        """Every call of a module of that kind, and the module: of a leaf, not of a subclass with a forward of its
        own."""
        for node in self.graph.find_nodes(op="call_module"):
            part = self.module.get_submodule(str(node.target))
            if isinstance(part, kind) and type(part).forward is kind.forward:
                yield node, part

    def replace(self, node: fx.Node, part: nn.Module) -> None:
        """Put another module in the place of the one that a node calls."""
        self.module.set_submodule(str(node.target), part)

    def varies(self, what: str, low: int, high: int) -> ExportError:
        """The error of a size that has to be one number."""
        return ExportError(
            Diagnostic(
                "NS243",
                f"needs fixed sizes: {what} of `{self.path}` go from {low} to {high}",
                help=("fix the sizes in the target's `dims`: `dims: {batch: 1, height: 64, width: 64}`",),
            )
        )


class Rewrite(Transform):
    """A transform that looks at one forward at a time. `seeks` says what it looks for, in the plural."""

    seeks: ClassVar[str]

    @abstractmethod
    def rewrite(self, forward: Forward) -> bool:
        """Change a graph or its modules in place; whether there was anything to change."""

    def apply(self, network: fx.GraphModule, plan: Plan) -> None:
        open_parts(network)
        shapes = measured(network, plan)
        changed = False
        for path, part in list(network.named_modules()):
            if isinstance(part, fx.GraphModule) and self.rewrite(Forward(path, part, shapes)):
                changed = True
                part.graph.lint()
                part.recompile()
        if not changed:
            raise ExportError(Diagnostic("NS242", f"`{self.name}` finds no {self.seeks} in this network"))


def open_parts(module: fx.GraphModule) -> None:
    """Turn every module that the graph calls, and that is no leaf, into a graph of its own; and so on inside them."""
    opened: dict[str, str] = {}
    for node in module.graph.find_nodes(op="call_module"):
        path = str(node.target)
        part = module.get_submodule(path)
        if table.of_class(type(part)) is not None:
            continue
        form = str(map_arg((node.args, node.kwargs), lambda _: "…"))
        if opened.setdefault(path, form) != form:
            raise ExportError(Diagnostic("NS505", f"`{path}` is called in two ways, {opened[path]} and {form}"))
        if not isinstance(part, fx.GraphModule):
            part = _opened(part, node)
            module.set_submodule(path, part)
        node.args, node.kwargs = tuple(_nodes(node)), {}
        open_parts(part)
    module.recompile()


class _OneLevel(LeafTracer):
    """Traces one module's forward; the modules that it calls are leaves."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return module_qualified_name != _PART


_PART = "part"


def _opened(part: nn.Module, call: fx.Node) -> fx.GraphModule:
    """A module's forward as a graph that takes the values of `call`; its constant arguments are written into it."""
    holder, graph = nn.Module(), fx.Graph()
    holder.add_module(_PART, part)
    inputs = iter([graph.placeholder(f"x{index}") for index, _ in enumerate(_nodes(call))])
    args, kwargs = map_arg((call.args, call.kwargs), lambda _: next(inputs))
    graph.output(graph.call_module(_PART, args, kwargs))
    leaves = traced(fx.GraphModule(holder, graph), _OneLevel())
    for node in leaves.nodes:
        if node.op in ("call_module", "get_attr"):
            node.target = str(node.target).removeprefix(f"{_PART}.")
    made = fx.GraphModule({}, fx.Graph(), class_name=type(part).__name__)
    for key, parameter in part.named_parameters(recurse=False):
        made.register_parameter(key, parameter)
    for key, buffer in part.named_buffers(recurse=False):
        made.register_buffer(key, buffer, persistent=key not in part._non_persistent_buffers_set)
    for key, child in part.named_children():
        made.add_module(key, child)
    made.graph = leaves
    return made.train(part.training)


def _nodes(call: fx.Node) -> list[fx.Node]:
    """The values that a call takes, one for each place."""
    found: list[fx.Node] = []
    map_arg((call.args, call.kwargs), found.append)
    return found


def measured(network: fx.GraphModule, plan: Plan) -> dict[fx.Node, list[torch.Size]]:
    """The shapes of every value at the smallest and at the largest sizes of the plan, of each call of its graph."""
    found: dict[fx.Node, list[torch.Size]] = {}
    dims = plan.spec.dims.items()
    smallest, largest = {word: dim.min for word, dim in dims}, {word: dim.max for word, dim in dims}
    for env in (smallest, largest) if smallest != largest else (smallest,):
        inputs = [
            torch.empty(
                [int(size.evaluate(env)) for size in type_.shape],
                dtype=getattr(torch, type_.dtype or "float32"),
                device="meta",
            )
            for type_ in plan.inputs.values()
        ]
        with torch.no_grad():
            _Measuring(network, found).run(*inputs)
    return found


class _Measuring(fx.Interpreter):
    """Runs graphs within graphs and notes the shape of every tensor."""

    def __init__(self, module: fx.GraphModule, found: dict[fx.Node, list[torch.Size]]) -> None:
        super().__init__(module)
        self._found = found

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        if isinstance(value, Tensor):
            self._found.setdefault(n, []).append(value.shape)
        return value

    def call_module(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        part = self.fetch_attr(target)
        if isinstance(part, fx.GraphModule):
            return _Measuring(part, self._found).run(*args)
        return super().call_module(target, args, kwargs)
