"""Symbolic tracing that stops at leaves: torch.nn modules, a few functions, and `netspec.ops` wherever they are used."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import fx, nn

import netspec.ops
from exporters.lowering import table
from netspec.errors import Diagnostic, ExportError


class LeafTracer(fx.Tracer):
    """Traces through nested modules, generated or written, and remembers which node each module returned."""

    def __init__(self) -> None:
        # Builtins such as getattr are in the table too, but only Python functions can be caught by name.
        functions = tuple(leaf for leaf in table.FUNCTIONS if getattr(leaf, "__module__", "").split(".")[0] != "torch"
                          and hasattr(leaf, "__code__"))
        # The module too: a forward may say `ops.attention(...)`, a name that is not among its own globals.
        super().__init__(autowrap_modules=(netspec.ops,), autowrap_functions=functions)
        self.returned: dict[str, fx.Node] = {}

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        if table.of_class(type(m)) is not None:
            return True
        return super().is_leaf_module(m, module_qualified_name) and type(m) not in _CONTAINERS

    def call_module(
        self, m: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        result = super().call_module(m, forward, args, kwargs)
        if isinstance(result, fx.Proxy):
            self.returned[self.path_of_module(m)] = result.node
        return result


_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


def trace(model: nn.Module) -> tuple[fx.Graph, dict[str, fx.Node]]:
    """The model's graph of leaves, and the node that each module's output comes from.

    Raises ExportError where a forward decides something by the values or sizes of its input.
    """
    tracer = LeafTracer()
    try:
        return tracer.trace(model), tracer.returned
    except (fx.proxy.TraceError, TypeError) as error:
        raise ExportError(
            Diagnostic(
                code="NS505",
                message=f"tracing the model failed: {error}",
                help=("a forward may not branch on its input; make the operation a leaf of netspec.ops",),
            )
        ) from error
