"""Symbolic tracing that stops at leaves: torch.nn modules, a few functions, and `netspec.ops` wherever used."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import fx, nn

import netspec.ops
from exporters.lowering import table
from netspec.errors import Diagnostic, ExportError


class Chunks(fx.Proxy):
    """What `x.chunk(6, -1)` returns: as many parts as were asked for. fx alone knows `a, b = …` but not `list(…)`."""

    def __init__(self, node: fx.Node, tracer: fx.Tracer, count: int) -> None:
        super().__init__(node, tracer)
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Any]:
        return iter([self[index] for index in range(self._count)])  # type: ignore[index]  # fx adds it at run time


class LeafTracer(fx.Tracer):
    """Traces through nested modules, generated or written, and remembers which node each module returned."""

    def __init__(self) -> None:
        # PyTorch's own functions reach fx by themselves; builtins such as getattr cannot be caught by name.
        own = (leaf for leaf in table.FUNCTIONS if hasattr(leaf, "__code__"))
        functions = tuple(leaf for leaf in own if not leaf.__module__.startswith("torch."))
        # The module too: a forward may say `ops.attention(...)`, a name that is not among its own globals.
        super().__init__(autowrap_modules=(netspec.ops,), autowrap_functions=functions)
        self.returned: dict[str, fx.Node] = {}

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        if table.of_class(type(m)) is not None:
            return True
        return super().is_leaf_module(m, module_qualified_name) and type(m) not in _CONTAINERS

    def proxy(self, node: fx.Node) -> fx.Proxy:
        if node.target in ("chunk", torch.chunk) and isinstance(count := _argument(node, 1, "chunks"), int):
            return Chunks(node, self, count)
        return super().proxy(node)

    def call_module(
        self, m: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        result = super().call_module(m, forward, args, kwargs)
        if isinstance(result, fx.Proxy):
            self.returned[self.path_of_module(m)] = result.node
        return result


def _argument(node: fx.Node, index: int, name: str) -> Any:
    return node.args[index] if len(node.args) > index else node.kwargs.get(name)


_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


def trace(model: nn.Module) -> tuple[fx.Graph, dict[str, fx.Node]]:
    """The model's graph of leaves, and the node that each module's output comes from.

    Raises ExportError where a forward decides something by the values or sizes of its input.
    """
    tracer = LeafTracer()
    return traced(model, tracer), tracer.returned


def traced(model: nn.Module, tracer: fx.Tracer) -> fx.Graph:
    """The graph of the leaves that `tracer` stops at. Raises ExportError."""
    try:
        return tracer.trace(model)
    except (fx.proxy.TraceError, TypeError) as error:
        raise ExportError(
            Diagnostic(
                code="NS505",
                message=f"tracing the model failed: {error}",
                help=("a forward may not branch on its input; make the operation a leaf of netspec.ops",),
            )
        ) from error


def owner(node: fx.Node) -> str:
    """The dotted path of the module whose forward has this leaf; of a module leaf, its own."""
    if node.op == "call_module":
        return str(node.target)
    stack = node.meta.get("nn_module_stack") or {}
    return next(reversed(stack.values()))[0] if stack else ""
