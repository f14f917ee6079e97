"""typed(): a network that computes in the precision which its plan gives each part, as an ordinary PyTorch module."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from exporters.lowering import table
from exporters.lowering.tracer import owner, trace
from netspec.precision import PrecisionPlan


def typed(model: fx.GraphModule, precision: PrecisionPlan, inputs: Sequence[Tensor]) -> fx.GraphModule:
    """The network with a cast wherever a float meets a leaf of another type. Shares its parameters, keeps their names.

    model: its parameters in the types in which `precision` stores them. inputs: of any sizes; only their types count,
    nothing is computed. Outputs have the type of `precision.base`. Raises ExportError where a part cannot be traced.
    """
    root = nn.Module()
    for call in model.graph.find_nodes(op="call_module"):
        part = model.get_submodule(call.target)
        is_leaf = table.of_class(type(part)) is not None
        root.add_module(call.target, part if is_leaf else _opened(call.target, part, len(call.args)))
    graph = fx.Graph()
    graph.output(graph.graph_copy(model.graph, {}))
    made = fx.GraphModule(root, graph, class_name=type(model).__name__)
    with FakeTensorMode(allow_non_fake_inputs=True) as fake:
        _Typing(made, precision).run(*map(fake.from_tensor, inputs))
    for name, part in list(made.named_children()):
        if isinstance(part, fx.GraphModule):
            made.add_module(name, _Part(part))
    return made.eval()


class _Part(nn.Module):
    """What a graph module holds and computes, without being one: `torch.export` notes whose an operation is, but never
    a graph module's."""

    def __init__(self, graph: fx.GraphModule) -> None:
        super().__init__()
        self._modules, self._parameters, self._buffers = graph._modules, graph._parameters, graph._buffers
        self._compute = type(graph).forward

    def forward(self, *inputs: Tensor) -> Tensor:
        return self._compute(self, *inputs)  # type: ignore[no-any-return]  # generated code


def _opened(name: str, part: nn.Module, inputs: int) -> fx.GraphModule:
    """A part as a graph of leaves, each of which knows whose it is; the part's parameters under their own names."""
    holder, graph = nn.Module(), fx.Graph()
    holder.add_module(name, part)
    graph.output(graph.call_module(name, tuple(graph.placeholder(f"x{index}") for index in range(inputs))))
    leaves, _ = trace(fx.GraphModule(holder, graph))
    for node in leaves.nodes:
        node.meta["owner"] = owner(node)
        if node.op in ("call_module", "get_attr"):
            node.target = str(node.target).removeprefix(f"{name}.")
    made = fx.GraphModule({}, fx.Graph(), class_name=type(part).__name__)
    for key, module in part.named_children():  # all of them: a checkpoint has weights that this network does not use
        made.add_module(key, module)
    for key, parameter in part.named_parameters(recurse=False):
        made.register_parameter(key, parameter)
    for key, buffer in part.named_buffers(recurse=False):
        made.register_buffer(key, buffer)
    made.graph = leaves
    return made


class _Typing(fx.Interpreter):
    """Runs a graph and gives each leaf, right before it runs, the casts that it lacks."""

    def __init__(self, module: fx.GraphModule, precision: PrecisionPlan) -> None:
        super().__init__(module, garbage_collect_values=False)
        self._precision = precision

    def run(self, *args: Any, **kwargs: Any) -> Any:
        made = super().run(*args, **kwargs)
        self.module.recompile()  # type: ignore[operator]  # a GraphModule's
        return made

    def run_node(self, n: fx.Node) -> Any:
        if n.op == "output" and "owner" not in n.meta:
            self._cast(n, self._precision.float_at(""))
        elif n.op.startswith("call") and self._is_leaf(n) and self._lowering(n) not in table.KEEPS_TYPES:
            self._cast(n, self._precision.float_at(n.meta.get("owner", str(n.target))))
        return super().run_node(n)

    def call_module(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        part = self.fetch_attr(target)
        if isinstance(part, fx.GraphModule):
            return _Typing(part, self._precision).run(*args)
        return super().call_module(target, args, kwargs)

    def _is_leaf(self, node: fx.Node) -> bool:
        """Whether a node computes: a part that has a graph of its own casts inside it."""
        return node.op != "call_module" or not isinstance(self.fetch_attr(str(node.target)), fx.GraphModule)

    def _lowering(self, node: fx.Node) -> Callable[..., Any] | None:
        match node.op:
            case "call_module":
                return table.of_class(type(self.fetch_attr(str(node.target))))
            case "call_method":
                return table.METHODS.get(str(node.target))
            case _:
                return table.FUNCTIONS.get(node.target)  # type: ignore[arg-type]  # of call_function: a function

    def _cast(self, node: fx.Node, dtype: torch.dtype) -> None:
        graph = node.graph
        for given in node.all_input_nodes:
            value = self.env[given]
            if isinstance(value, Tensor) and value.is_floating_point() and value.dtype != dtype:
                with graph.inserting_before(node):
                    cast = graph.call_method("to", (given, dtype))
                self.env[cast] = value.to(dtype)
                node.replace_input_with(given, cast)
