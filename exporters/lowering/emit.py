"""Walk a traced network leaf by leaf and write its ONNX graph."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import onnx_ir as ir
import torch
from torch import fx

from exporters.lowering import table
from exporters.lowering.builder import Builder
from exporters.lowering.channels_last import channels_last
from exporters.lowering.dims import Size, symbol
from exporters.lowering.dtypes import FLOATS
from exporters.lowering.flavour import Flavour
from exporters.lowering.peephole import drop_unused, fold_pads
from exporters.lowering.tracer import owner, trace
from exporters.lowering.weights import Slot, Weights
from netspec.errors import Diagnostic, ExportError
from netspec.plan import Origin
from netspec.target import ExportRequest, Port

IR_VERSION = 10  # of ONNX 1.16: the newest that every runtime in use reads


def emit(request: ExportRequest, flavour: Flavour, slots: Mapping[str, Slot] = MappingProxyType({})) -> ir.Model:
    """The network of `request` as an ONNX model in the operators of `flavour`; nothing is written or loaded.

    Weights are references to `slots`, so the model may be built on the meta device. Each leaf computes in the precision
    that the request has for the module it belongs to: what enters it is cast. Values named as a top-level module hold
    that module's output. Raises ExportError (NS5xx), which names node and spec line.
    """
    tensors = request.tensors()
    flavour = flavour.for_dtypes(_floats(request, tensors))
    if flavour.conv == "winograd" and request.precision is not None and request.precision.quantised:
        flavour = replace(flavour, conv="direct")  # what is quantised is a whole Conv
    graph, returned = trace(request.model)
    ports = [*request.inputs, *request.outputs]
    weights = Weights(tensors, slots, request.precision)
    builder = Builder(flavour, weights, (port.name for port in ports), _usual(request))
    walk = _Walk(request, builder)
    for node in graph.nodes:
        walk.visit(node)
    walk.name_module_outputs(returned)
    outputs = walk.outputs()
    nodes = drop_unused(fold_pads(builder.nodes), outputs)
    if flavour.layout == "channels_last":
        nodes = drop_unused(channels_last(builder, nodes, outputs), outputs)
    inputs = [walk.inputs[port.name] for port in request.inputs]
    onnx_graph = ir.Graph(
        inputs,
        outputs,
        nodes=nodes,
        initializers=_initializers(nodes),
        opset_imports=_opsets(nodes, flavour),
        name=request.name,
    )
    return ir.Model(onnx_graph, ir_version=IR_VERSION, producer_name="netspec", metadata_props=dict(request.metadata))


class _Walk:
    """The state of one walk: what each traced node became."""

    def __init__(self, request: ExportRequest, builder: Builder) -> None:
        self._request = request
        self._builder = builder
        self._modules = dict(request.model.named_modules(remove_duplicate=False))
        self._results: dict[fx.Node, Any] = {}
        self._returned: Sequence[Any] = ()
        sizes = {name for port in request.inputs for name in port.shape if isinstance(name, str)}
        self._symbols = {name: symbol(name, request.multiples.get(name, 1)) for name in sizes}
        self.inputs = {port.name: self._input(port) for port in request.inputs}

    def _input(self, port: Port) -> ir.Value:
        dims: list[Size] = [size if isinstance(size, int) else self._symbols[size] for size in port.shape]
        return self._builder.describe(ir.Value(name=port.name), dims, port.dtype)

    def visit(self, node: fx.Node) -> None:
        match node.op:
            case "placeholder":
                self._results[node] = self._placeholder(node)
            case "get_attr":
                self._results[node] = self._builder.tensor(str(node.target))
            case "output":
                self._returned = _flat(self._resolve(node.args[0]))
            case _:
                self._results[node] = self._leaf(node)

    def _placeholder(self, node: fx.Node) -> ir.Value | None:
        name = str(node.target)
        if name in self.inputs:
            return self.inputs[name]
        if node.args:  # an argument with a default that the graph has no input for
            return node.args[0]  # type: ignore[return-value]  # whatever the default is
        raise ExportError(Diagnostic(code="NS507", message=f"the model takes an input {name!r} that was not declared"))

    def _leaf(self, node: fx.Node) -> Any:
        """Lower one leaf, then name what it emitted and say where in the spec it comes from."""
        scope = owner(node)
        origin = self._request.origins.get(scope.split(".")[0])
        start = len(self._builder.nodes)
        try:
            result = self._lower(node)
        except ExportError as error:
            raise ExportError(*(_placed(d, node, scope, origin) for d in error.diagnostics)) from error
        first = result[0] if isinstance(result, list) else result
        value = first if isinstance(first, ir.Value) else None
        self._builder.name_since(start, _label(node, scope), value, _metadata(origin))
        return result

    def _lower(self, node: fx.Node) -> Any:
        args, kwargs = self._resolve(node.args), self._resolve(node.kwargs)
        lowering, leaf = self._lowering(node)
        if self._request.precision is not None and lowering not in table.KEEPS_TYPES:
            dtype = self._request.precision.float_at(owner(node))
            args, kwargs = self._cast(args, dtype), self._cast(kwargs, dtype)
        if lowering is None:
            register = "exporters.lowering.register(leaf, lowering) gives it one"
            raise ExportError(Diagnostic(code="NS501", message=f"no lowering for {leaf}", help=(register,)))
        if node.op == "call_module":
            self._builder.module_path = str(node.target)
            args = [self._modules[str(node.target)], *args]
        try:
            return lowering(self._builder, *args, **kwargs)
        except TypeError as error:  # arguments that the lowering does not know
            raise ExportError(
                Diagnostic(code="NS501", message=f"no lowering for this use of {leaf}: {error}")
            ) from error

    def _lowering(self, node: fx.Node) -> tuple[table.Lowering | None, str]:
        target = node.target
        match node.op:
            case "call_module":
                cls = type(self._modules[str(target)])
                return table.of_class(cls), f"{cls.__module__}.{cls.__qualname__}"
            case "call_method":
                return table.METHODS.get(str(target)), f"Tensor.{target}"
            case _:
                name = f"{getattr(target, '__module__', '')}.{getattr(target, '__name__', target)}"
                return table.FUNCTIONS.get(target), name  # type: ignore[arg-type]  # of call_function: a function

    def _cast(self, argument: Any, dtype: torch.dtype) -> Any:
        """The floats inside an argument, however nested, in one precision."""
        match argument:
            case ir.Value() if self._builder.dtype(argument) in FLOATS:
                return self._builder.cast(argument, dtype)
            case tuple() | list():
                return type(argument)(self._cast(item, dtype) for item in argument)
            case dict():
                return {key: self._cast(item, dtype) for key, item in argument.items()}
            case _:
                return argument

    def _resolve(self, argument: Any) -> Any:
        """Traced nodes inside an argument, however nested, replaced by what they became."""
        match argument:
            case fx.Node():
                return self._results[argument]
            case tuple():
                return tuple(self._resolve(item) for item in argument)
            case list():
                return [self._resolve(item) for item in argument]
            case dict():
                return {key: self._resolve(item) for key, item in argument.items()}
            case slice():
                return slice(*(self._resolve(end) for end in (argument.start, argument.stop, argument.step)))
            case _:
                return argument

    def name_module_outputs(self, returned: Mapping[str, fx.Node]) -> None:
        """The value that a top-level module returns carries the module's name: parity looks for it."""
        taken: set[ir.Value] = set(self.inputs.values())
        for path, node in returned.items():
            value = self._results[node]
            if "." in path or not isinstance(value, ir.Value) or value in taken or value.producer() is None:
                continue
            taken.add(value)
            if value.name != path:
                value.name = self._builder.unique(path)

    def outputs(self) -> list[ir.Value]:
        """The returned values under the names of the request's outputs."""
        ports, values = self._request.outputs, self._returned
        if len(ports) != len(values):
            message = f"the model returns {len(values)} values, {len(ports)} outputs were declared"
            raise ExportError(Diagnostic(code="NS507", message=message))
        result: list[ir.Value] = []
        for port, value in zip(ports, values, strict=True):
            start = len(self._builder.nodes)
            if self._builder.dtype(value) != port.dtype:
                value = self._builder.cast(value, port.dtype)
            elif value.producer() is None or value in result:
                value = self._builder.op("Identity", value, dims=self._builder.dims(value))
            self._builder.name_since(start, f"{port.name}/node", value, {})
            value.name = port.name
            result.append(value)
        return result


def _floats(request: ExportRequest, tensors: Mapping[str, torch.Tensor]) -> set[torch.dtype]:
    """Every type that the graph will compute in."""
    if request.precision is None:
        return {tensor.dtype for tensor in tensors.values()}
    return {request.precision.float_at(path) for path in request.precision.parts}


def _usual(request: ExportRequest) -> Mapping[str, int]:
    """What the plan's named sizes usually are."""
    return {} if request.plan is None else {name: dim.opt for name, dim in request.plan.spec.dims.items()}


def _label(node: fx.Node, scope: str) -> str:
    path = scope.replace(".", "/")
    if node.op == "call_module":
        return path
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "op")
    return f"{path}/{name.strip('_')}" if path else name.strip("_")


def _metadata(origin: Origin | None) -> dict[str, str]:
    if origin is None:
        return {}
    return {"netspec.path": str(origin)} | ({"netspec.source": origin.source} if origin.source else {})


def _placed(diagnostic: Diagnostic, node: fx.Node, scope: str, origin: Origin | None) -> Diagnostic:
    """The diagnostic with the node's name and, where known, the place in the spec."""
    where = f"in {_label(node, scope)}" + (f", from {origin} ({origin.source})" if origin else "")
    path = str(origin) if origin else ""
    return Diagnostic(
        code=diagnostic.code,
        message=f"{diagnostic.message}, {where}",
        notes=diagnostic.notes,
        help=diagnostic.help,
        path=path,
    )


def _flat(returned: Any) -> list[Any]:
    if isinstance(returned, Mapping):
        return list(returned.values())
    return list(returned) if isinstance(returned, (tuple, list)) else [returned]


def _initializers(nodes: Iterable[ir.Node]) -> list[ir.Value]:
    """Weights and constants that some node reads, in the order of first use."""
    used = {
        value: None for node in nodes for value in node.inputs if value is not None and value.const_value is not None
    }
    return list(used)


def _opsets(nodes: Iterable[ir.Node], flavour: Flavour) -> dict[str, int]:
    domains = {node.domain for node in nodes if node.domain}
    return {"": flavour.opset} | dict.fromkeys(sorted(domains), 1)
