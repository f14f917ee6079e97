"""The float32 twin of a bfloat16 graph: what proves one where nothing computes in bfloat16.

ONNX Runtime's CPU provider has no bfloat16 convolutions or products. So three things are shown instead:

1. `differences`: the file is the float32 graph of the same network, node by node, but for types and casts, and each of
   its numbers is the float32 one rounded to the nearest, ties to even.
2. `exact`: that float32 graph, run with the float32 weights, for parity at float32's tolerance.
3. `Rounding`: the file itself, computed in float32 and rounded to bfloat16 after every node, as a GPU does that adds up
   in float32 and stores in bfloat16, for parity at bfloat16's.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import torch
from onnx import NodeProto, TensorProto, helper

from exporters.lowering import Flavour, emit, pack
from exporters.lowering.packing import FILE
from exporters.onnx import contrib, runtime
from exporters.onnx.feeding import accepted
from netspec.errors import Diagnostic
from netspec.target import ExportRequest, Port, Runner
from netspec.weights.aligned import load_tensor, load_tensors, read_layout, torch_dtype

BFLOAT16, FLOAT = TensorProto.BFLOAT16, TensorProto.FLOAT
_FLOATS = (ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.BFLOAT16)
# What moves numbers that were rounded before.
_MOVES = frozenset(
    ("Reshape", "Transpose", "Concat", "Slice", "Split", "Expand", "Squeeze", "Unsqueeze", "Gather", "Identity", "Pad",
     "DepthToSpace", "SpaceToDepth")
)  # fmt: skip


def runner(graph: Path) -> Runner:
    """What runs a file here: ONNX Runtime itself, or where it has no kernels, the file's rounding twin or the standard
    operators that its own mean."""
    model = onnx.load(graph, load_external_data=False)
    if contrib.foreign(model):
        return _Held(contrib.standard(model), _external(graph, model))
    return Rounding(graph, model) if has_bfloat16(model) else runtime.Runner(graph)


def proves(request: ExportRequest) -> bool:
    """Whether a network's graph is one that this module is for: bfloat16 in it, and nothing quantised."""
    precision = request.precision
    return precision is not None and "bf16" in precision.uses and not precision.quantised


def has_bfloat16(model: onnx.ModelProto) -> bool:
    """Whether some value of a graph is bfloat16."""
    values = (*model.graph.input, *model.graph.output, *model.graph.value_info)
    types = {value.type.tensor_type.elem_type for value in values}
    return BFLOAT16 in types | {tensor.data_type for tensor in model.graph.initializer}


def exact(request: ExportRequest, flavour: Flavour) -> Runner:
    """The network's graph in float32 with the weights of `request.source`."""
    assert request.source is not None  # there is nothing to run without weights
    model = ir.to_proto(_in_float32(request, flavour))
    layout = read_layout(request.source)
    weights = {
        name: load_tensor(request.source, info, layout.offset(name)).numpy() for name, info in layout.infos.items()
    }
    return _Held(model, weights)


def differences(graph: Path, request: ExportRequest, flavour: Flavour) -> Iterator[Diagnostic]:
    """Where a file is not its network's float32 graph in other types; the first place of each kind."""
    found = _first_difference(ir.load(graph), _in_float32(request, flavour))
    if found:
        yield Diagnostic("NS556", f"{graph.name} is not the float32 graph in other types: {found}")
    if request.source is not None and (name := _first_other_weight(graph.with_name(FILE), request.source)):
        yield Diagnostic(
            "NS555",
            f"{FILE}: `{name}` is not the network's own, rounded to the nearest",
            help=("build the target again",),
        )


def _in_float32(request: ExportRequest, flavour: Flavour) -> ir.Model:
    assert request.precision is not None  # else the graph has its tensors' types
    parts = {path: replace(part, dtype="fp32") for path, part in request.precision.parts.items()}
    precision = replace(request.precision, name="fp32", base="fp32", parts=MappingProxyType(parts))
    plain = replace(
        request,
        precision=precision,
        inputs=[_float32(port) for port in request.inputs],
        outputs=[_float32(port) for port in request.outputs],
        source=None,
    )
    same = flavour.for_dtypes({torch.bfloat16})  # the operators that the file has
    model = emit(plain, same, pack(plain, Path()))  # without a source, nothing is written
    return ir.from_proto(ir.to_proto(model))  # numbers of attributes as a file holds them


def _float32(port: Port) -> Port:
    return replace(port, dtype=torch.float32) if port.dtype.is_floating_point else port


# Equality of two graphs but for types


def _first_difference(half: ir.Model, full: ir.Model) -> str:
    """In words; "" where there is none."""
    nodes, twins = ([node for node in model.graph if not _is_float_cast(node)] for model in (half, full))
    if len(nodes) != len(twins):
        return f"{len(nodes)} nodes, not {len(twins)}"
    made: dict[ir.Value, ir.Value] = dict(zip(half.graph.inputs, full.graph.inputs, strict=True))
    for node, twin in zip(nodes, twins, strict=True):
        if (node.domain, node.op_type, node.attributes) != (twin.domain, twin.op_type, twin.attributes):
            return f"`{node.name}` is {node.op_type}, not `{twin.name}`, {twin.op_type}, or has other attributes"
        if len(node.inputs) != len(twin.inputs):
            return f"`{node.name}` has {len(node.inputs)} inputs"
        for index, (given, wanted) in enumerate(zip(node.inputs, twin.inputs, strict=True)):
            if not _is_twin(given, wanted, made):
                return f"input {index} of `{node.name}`"
        made.update(zip(node.outputs, twin.outputs, strict=True))
    ends = zip(half.graph.outputs, full.graph.outputs, strict=True)
    return next((f"output `{end.name}`" for end, other in ends if made.get(_uncast(end)) is not _uncast(other)), "")


def _is_float_cast(node: ir.Node) -> bool:
    return node.op_type == "Cast" and all(
        value is not None and value.dtype in _FLOATS for value in (*node.inputs, *node.outputs)
    )


def _uncast(value: ir.Value) -> ir.Value:
    """What a value is before it was cast from one float type to another."""
    node = value.producer()
    while node is not None and _is_float_cast(node):
        value = node.inputs[0]  # type: ignore[assignment]  # a Cast has one
        node = value.producer()
    return value


def _is_twin(given: ir.Value | None, wanted: ir.Value | None, made: Mapping[ir.Value, ir.Value]) -> bool:
    if given is None or wanted is None:
        return given is wanted
    given, wanted = _uncast(given), _uncast(wanted)
    if given in made:
        return made[given] is wanted
    number, other = given.const_value, wanted.const_value
    if number is None or other is None:
        return False
    if isinstance(other, ir.ExternalTensor):  # a weight, whose numbers `_first_other_weight` compares
        return isinstance(number, ir.ExternalTensor) and given.name == wanted.name and number.shape == other.shape
    return bool(
        np.array_equal(_rounded(other.numpy(), number.dtype), number.numpy().astype(np.float64), equal_nan=True)
    )


def _rounded(numbers: np.ndarray, dtype: ir.DataType) -> np.ndarray:
    """Rounded to the nearest number of a type, ties to even."""
    return numbers.astype(dtype.numpy()).astype(np.float64)


def _first_other_weight(path: Path, source: Path) -> str:
    layout = read_layout(path)
    for name, tensor in load_tensors(source):
        info = layout.infos.get(name)
        if info is None:
            continue
        stored = load_tensor(path, info, layout.offset(name))
        if not _same_bits(stored, tensor.to(torch_dtype(info))):
            return name
    return ""


def _same_bits(one: torch.Tensor, other: torch.Tensor) -> bool:
    bits = {2: torch.int16, 4: torch.int32}.get(one.element_size(), one.dtype)
    return one.dtype == other.dtype and torch.equal(one.view(bits), other.view(bits))


# Running in float32


class _Held:
    """Runs a graph that is held in memory, with weights given as arrays."""

    def __init__(self, model: onnx.ModelProto, weights: Mapping[str, np.ndarray]) -> None:
        self._model = model
        external = [tensor.name for tensor in model.graph.initializer if tensor.data_location == TensorProto.EXTERNAL]
        self._weights = {name: onnxruntime.OrtValue.ortvalue_from_numpy(weights[name]) for name in external}
        self._session = self._start(model)

    def __call__(self, inputs: Mapping[str, np.ndarray], extra_outputs: Sequence[str] = ()) -> Mapping[str, np.ndarray]:
        session = self._start(runtime.exposing(self._model, extra_outputs)) if extra_outputs else self._session
        names = [value.name for value in session.get_outputs()]
        return dict(zip(names, session.run(names, accepted(session, inputs)), strict=True))

    def _start(self, model: onnx.ModelProto) -> onnxruntime.InferenceSession:
        options = runtime.options()
        options.add_external_initializers(list(self._weights), list(self._weights.values()))
        return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


class Rounding(_Held):
    """Runs a bfloat16 file in float32, each node's result rounded to bfloat16."""

    def __init__(self, path: Path, model: onnx.ModelProto) -> None:
        self._halves = {each.name for each in model.graph.input if each.type.tensor_type.elem_type == BFLOAT16}
        super().__init__(_rounding(model), _external(path, model))

    def __call__(self, inputs: Mapping[str, np.ndarray], extra_outputs: Sequence[str] = ()) -> Mapping[str, np.ndarray]:
        held = {name: _as_bfloat16(each) if name in self._halves else each for name, each in inputs.items()}
        return super().__call__(held, extra_outputs)


def _as_bfloat16(numbers: np.ndarray) -> np.ndarray:
    rounded: np.ndarray = torch.from_numpy(numbers).to(torch.bfloat16).float().numpy()
    return rounded


def _external(path: Path, model: onnx.ModelProto) -> dict[str, np.ndarray]:
    """The weights that lie beside a file, bfloat16 as float32."""
    found = {}
    for tensor in model.graph.initializer:
        if tensor.data_location == TensorProto.EXTERNAL:
            place = {entry.key: entry.value for entry in tensor.external_data}
            count, own = math.prod(tensor.dims), helper.tensor_dtype_to_np_dtype(tensor.data_type)
            kind = np.dtype(np.uint16) if tensor.data_type == BFLOAT16 else own
            if count == 0:
                array = np.empty(0, kind)
            else:
                file = path.parent / place["location"]
                array = np.memmap(file, kind, "r", int(place["offset"]), (count,))
            widened = _widened(array) if tensor.data_type == BFLOAT16 else array
            found[tensor.name] = widened.reshape(tuple(tensor.dims))
    return found


def _widened(bits: np.ndarray) -> np.ndarray:
    return (bits.astype(np.uint32) << 16).view(np.float32)


def _rounding(model: onnx.ModelProto) -> onnx.ModelProto:
    """The graph in float32, where every value that was bfloat16 is rounded to it."""
    twin = onnx.ModelProto()
    twin.CopyFrom(model)
    graph = twin.graph
    for tensor in graph.initializer:
        _widen(tensor)
    values = (*graph.input, *graph.output, *graph.value_info)
    halves = {value.name for value in values if value.type.tensor_type.elem_type == BFLOAT16}
    for value in values:
        if value.name in halves:
            value.type.tensor_type.elem_type = FLOAT
    nodes = [each for node in graph.node for each in _with_rounding(node, halves)]
    del graph.node[:]
    graph.node.extend(nodes)
    return twin


def _with_rounding(node: NodeProto, halves: set[str]) -> Iterator[NodeProto]:
    for attribute in node.attribute:
        if node.op_type == "Cast" and attribute.name == "to" and attribute.i == BFLOAT16:
            attribute.i = FLOAT
        elif attribute.HasField("t"):
            _widen(attribute.t)
    rounded = [] if node.op_type in _MOVES else [name for name in node.output if name in halves]
    for index, name in enumerate(node.output):
        if name in rounded:
            node.output[index] = f"{name}/float"
    yield node
    for name in rounded:
        yield helper.make_node("Cast", [f"{name}/float"], [f"{name}/rounded"], f"{name}/rounded", to=BFLOAT16)
        yield helper.make_node("Cast", [f"{name}/rounded"], [name], f"{name}/widened", to=FLOAT)


def _widen(tensor: TensorProto) -> None:
    """A bfloat16 tensor as float32, in place; one whose numbers lie elsewhere only by name."""
    if tensor.data_type != BFLOAT16:
        return
    if tensor.data_location != TensorProto.EXTERNAL:
        bits = np.frombuffer(tensor.raw_data, np.uint16)
        tensor.raw_data = _widened(bits).tobytes()
    else:
        for entry in tensor.external_data:
            if entry.key == "length":
                entry.value = str(2 * int(entry.value))
    tensor.data_type = FLOAT
