"""A file as rules see it: nodes in order, the type of every value, and which values are constants.

Weights are never read: a large tensor is its name, type and size.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import onnx
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, numpy_helper

from exporters.tensorrt.gate.inference import infer
from exporters.tensorrt.gate.report import Finding, Level

Dim: TypeAlias = int | str | None  # a number, a name or formula of names, or nobody knows
Shape: TypeAlias = tuple[Dim, ...]

# TensorRT's names of types; what has none keeps ONNX's.
_NAMES: dict[int, str] = {
    TensorProto.FLOAT: "FP32",
    TensorProto.FLOAT16: "FP16",
    TensorProto.BFLOAT16: "BF16",
    TensorProto.DOUBLE: "FP64",
    TensorProto.FLOAT8E4M3FN: "FP8",
    TensorProto.FLOAT4E2M1: "FP4",
}
BITS = {
    "FP64": 64, "FP32": 32, "FP16": 16, "BF16": 16, "FP8": 8, "FP4": 4, "INT64": 64, "INT32": 32, "INT16": 16,
    "INT8": 8, "INT4": 4, "UINT64": 64, "UINT32": 32, "UINT16": 16, "UINT8": 8, "UINT4": 4, "BOOL": 8,
}  # fmt: skip
FLOATS = ("FP64", "FP32", "FP16", "BF16")
SMALL = 4096  # elements of a constant that a rule may read
_STANDARD = ("", "ai.onnx")
_SIZES = ("Shape", "Size")


@dataclass(frozen=True, slots=True)
class Type:
    """Of one value: `FP16`, and its sizes where its rank is known."""

    dtype: str
    shape: Shape | None


class Node:
    """One node. `scope` names the control-flow nodes whose bodies it lies in, outermost first; `body` counts bodies."""

    def __init__(self, proto: NodeProto, index: int, scope: tuple[str, ...], body: int) -> None:
        self.proto = proto
        self.op: str = proto.op_type
        self.domain: str = "" if proto.domain in _STANDARD else proto.domain
        self.name: str = proto.name or (proto.output[0] if proto.output else f"node {index}")
        self.inputs: tuple[str, ...] = tuple(proto.input)
        self.outputs: tuple[str, ...] = tuple(proto.output)
        self.scope = scope
        self.body = body

    @cached_property
    def attributes(self) -> dict[str, Any]:
        """By name; text as str, subgraphs as they are."""
        return {each.name: _attribute(each) for each in self.proto.attribute}

    def input(self, index: int) -> str:
        """The name of an input, "" where it is not given."""
        return self.inputs[index] if index < len(self.inputs) else ""

    def finding(self, code: str, reason: str, remedy: str, level: Level = "error") -> Finding:
        """Something about this node, with the place in the spec that it was made for."""
        place = {each.key: each.value for each in self.proto.metadata_props if each.key.startswith("netspec.")}
        path, source = place.get("netspec.path", ""), place.get("netspec.source", "")
        return Finding(code, self.name, reason, remedy, level, self.op, path, source)


class Graph:
    """A parsed model. Nodes of control-flow bodies follow the node that holds them."""

    def __init__(self, model: ModelProto) -> None:
        self.model = model
        self.opset = next((each.version for each in model.opset_import if each.domain in _STANDARD), 0)
        self.initializers: dict[str, TensorProto] = {}
        self.nodes: list[Node] = []
        self._types: dict[str, Type] = {}
        self._bodies = 0
        self._walk(model.graph, ())
        self.inputs = {each.name: self._types[each.name] for each in model.graph.input if self._is_input(each.name)}
        self.outputs = [each.name for each in model.graph.output]
        self.producers = {name: node for node in self.nodes for name in node.outputs if name}
        self.inference_error = ""
        if any(self.type(name) is None for name in self.producers):
            self._infer()

    def type(self, name: str) -> Type | None:
        """Of a value; None where neither the file nor inference knows."""
        return self._types.get(name)

    def dtype(self, name: str) -> str:
        """`FP16` …, or "" where it is not known."""
        found = self._types.get(name)
        return found.dtype if found else ""

    def shape(self, name: str) -> Shape | None:
        found = self._types.get(name)
        return found.shape if found else None

    def constant(self, name: str) -> np.ndarray | None:
        """The numbers of a small constant that lies in the file itself."""
        tensor = self._tensor(name)
        if tensor is None or is_external(tensor) or int(np.prod(tensor.dims)) > SMALL:
            return None
        return numpy_helper.to_array(tensor)

    def is_constant(self, name: str) -> bool:
        """An initializer, or what a Constant node holds."""
        producer = self.producers.get(name)
        if producer is not None and producer.op == "Identity":
            return self.is_constant(producer.input(0))
        return name in self.initializers or (producer is not None and producer.op == "Constant")

    def is_resolvable(self, name: str) -> bool:
        """Computed from constants and from sizes of values alone."""
        return name in self._resolvable

    def users(self, name: str) -> Sequence[Node]:
        return self._users.get(name, ())

    @cached_property
    def values(self) -> list[str]:
        """Every value that a node makes or that comes in, in order."""
        return [*self.inputs, *(name for node in self.nodes for name in node.outputs if name)]

    @cached_property
    def _users(self) -> Mapping[str, list[Node]]:
        found: dict[str, list[Node]] = {}
        for node in self.nodes:
            for name in node.inputs:
                found.setdefault(name, []).append(node)
        return found

    @cached_property
    def _resolvable(self) -> set[str]:
        found = set(self.initializers)
        for node in self.nodes:
            if node.op in _SIZES or all(name in found for name in node.inputs if name):
                found.update(node.outputs)
        return found

    def _walk(self, graph: GraphProto, scope: tuple[str, ...]) -> None:
        body, self._bodies = self._bodies, self._bodies + 1
        self.initializers.update((each.name, each) for each in graph.initializer)
        for tensor in graph.initializer:
            self._types[tensor.name] = Type(dtype_name(tensor.data_type), tuple(tensor.dims))
        for value in (*graph.input, *graph.value_info, *graph.output):
            if value.name not in self.initializers:
                self._note(value)
        for proto in graph.node:
            node = Node(proto, len(self.nodes), scope, body)
            self.nodes.append(node)
            for attribute in proto.attribute:
                if attribute.type == AttributeProto.GRAPH:
                    self._walk(attribute.g, (*scope, node.op))

    def _note(self, value: onnx.ValueInfoProto) -> None:
        """Take over a declared type; one that says less than what is known says nothing."""
        tensor = value.type.tensor_type
        if not value.type.HasField("tensor_type") or not tensor.elem_type:
            if value.type.WhichOneof("value"):
                self._types.setdefault(value.name, Type(value.type.WhichOneof("value").upper(), None))
            return
        shape = tuple(_dim(each) for each in tensor.shape.dim) if tensor.HasField("shape") else None
        known = self._types.get(value.name)
        if known is None or known.shape is None or (shape is not None and None in known.shape):
            self._types[value.name] = Type(dtype_name(tensor.elem_type), shape)

    def _infer(self) -> None:
        """Ask ONNX for what the file leaves out."""
        result = infer(self.model)
        self.inference_error = result.error
        for value in result.values:
            if value.name not in self.initializers:
                self._note(value)
        for node in self.nodes:  # a Constant says its own type
            if node.op == "Constant" and (tensor := self._tensor(node.outputs[0])) is not None:
                self._types[node.outputs[0]] = Type(dtype_name(tensor.data_type), tuple(tensor.dims))

    def _is_input(self, name: str) -> bool:
        return name not in self.initializers and name in self._types

    def _tensor(self, name: str) -> TensorProto | None:
        if name in self.initializers:
            return self.initializers[name]
        producer = self.producers.get(name)
        if producer is None:
            return None
        if producer.op == "Identity":
            return self._tensor(producer.input(0))
        return _constant_tensor(producer) if producer.op == "Constant" else None


def dtype_name(kind: int) -> str:
    """TensorRT's name of an ONNX element type, `FP16`, or ONNX's, or `type 99`."""
    if kind in _NAMES:
        return _NAMES[kind]
    return str(TensorProto.DataType.Name(kind)) if kind in TensorProto.DataType.values() else f"type {kind}"


def is_external(tensor: TensorProto) -> bool:
    return bool(tensor.data_location == TensorProto.EXTERNAL)


def elements(shape: Sequence[int]) -> int:
    count = 1
    for size in shape:
        count *= size
    return count


def tensor_bytes(tensor: TensorProto) -> int:
    """How many bytes its numbers take."""
    return -(-elements(tensor.dims) * BITS.get(dtype_name(tensor.data_type), 0) // 8)


def tensors(model: ModelProto) -> Iterator[TensorProto]:
    """Every initializer, those of control-flow bodies too."""

    def walk(graph: GraphProto) -> Iterator[TensorProto]:
        yield from graph.initializer
        for node in graph.node:
            for attribute in node.attribute:
                if attribute.type == AttributeProto.TENSOR:
                    yield attribute.t
                if attribute.type == AttributeProto.GRAPH:
                    yield from walk(attribute.g)

    yield from walk(model.graph)


def _dim(dim: onnx.TensorShapeProto.Dimension) -> Dim:
    if dim.HasField("dim_value"):
        return int(dim.dim_value)
    return dim.dim_param or None


def _attribute(attribute: AttributeProto) -> Any:
    value = onnx.helper.get_attribute_value(attribute)
    return value.decode(errors="replace") if isinstance(value, bytes) else value


def _constant_tensor(node: Node) -> TensorProto | None:
    for name, value in node.attributes.items():
        if name == "value":
            return value  # type: ignore[no-any-return]  # attributes are untyped
        if name in ("value_int", "value_ints"):
            return numpy_helper.from_array(np.array(value, dtype=np.int64))
        if name in ("value_float", "value_floats"):
            return numpy_helper.from_array(np.array(value, dtype=np.float32))
    return None
