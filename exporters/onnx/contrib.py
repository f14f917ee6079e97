"""The operators of ONNX Runtime's CUDA provider that no other has kernels for: checked, and run without it.

`problems` holds a file to the operators' schemas, which every ONNX Runtime has, and to what their CUDA kernels ask for.
`standard` writes each as what it means in standard operators, which the CPU provider runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper
from onnxruntime.capi import onnxruntime_pybind11_state as runtime

from exporters.lowering.channels_last import CONTRIB, GATE_WIDTHS, TO_FIRST, TO_LAST

_TYPES: Mapping[int, str] = {
    TensorProto.FLOAT: "tensor(float)",
    TensorProto.FLOAT16: "tensor(float16)",
    TensorProto.INT32: "tensor(int32)",
    TensorProto.UINT8: "tensor(uint8)",
}
_KERNELS = frozenset(("tensor(float)", "tensor(float16)"))
_CUDA_ONLY = frozenset(("BiasSplitGelu", "GroupNorm", "NhwcConv", "SkipGroupNorm"))
_MOST_CHANNELS = 4096  # of the norm's kernel


# Checks


def problems(model: onnx.ModelProto) -> Iterator[str]:
    """What is wrong with each com.microsoft node, with its name."""
    values = {value.name: value for value in (*model.graph.input, *model.graph.output, *model.graph.value_info)}
    types = {name: value.type.tensor_type.elem_type for name, value in values.items()}
    types |= {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    shapes = {
        name: [size.dim_value or size.dim_param for size in value.type.tensor_type.shape.dim]
        for name, value in values.items()
    }
    shapes |= {tensor.name: list(tensor.dims) for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.domain == CONTRIB:
            for found in (*_of_schema(node, types), *_of_kernel(node, types, shapes)):
                yield f"{node.op_type} `{node.name}`: {found}"


@cache
def _schemas() -> Mapping[str, Any]:
    every = runtime.get_all_operator_schema()
    return {schema.name: schema for schema in every if schema.domain == CONTRIB}


def _of_schema(node: NodeProto, types: Mapping[str, int]) -> Iterator[str]:
    schema = _schemas().get(node.op_type)
    if schema is None:
        yield "no such operator"
        return
    if not schema.min_input <= len(node.input) <= schema.max_input:
        yield f"{len(node.input)} inputs, not {schema.min_input} to {schema.max_input}"
        return
    given = {attribute.name for attribute in node.attribute}
    yield from (f"no attribute `{name}`" for name in sorted(given - set(schema.attributes)))
    wanted = {name for name, attribute in schema.attributes.items() if attribute.required}
    yield from (f"attribute `{name}` is missing" for name in sorted(wanted - given))
    allowed = {constraint.type_param_str: set(constraint.allowed_type_strs) for constraint in schema.type_constraints}
    bound: dict[str, str] = {}
    for formal, name in zip(schema.inputs, node.input, strict=False):
        if name and name in types:
            kind = _TYPES.get(types[name], str(types[name]))
            if kind not in allowed.get(formal.typeStr, {formal.typeStr}):
                yield f"`{formal.name}` is {kind}"
            elif bound.setdefault(formal.typeStr, kind) != kind:
                yield f"`{formal.name}` is {kind}, another input of its kind {bound[formal.typeStr]}"


def _of_kernel(node: NodeProto, types: Mapping[str, int], shapes: Mapping[str, list[Any]]) -> Iterator[str]:
    if _TYPES.get(types.get(node.input[0], 0)) not in _KERNELS:
        yield "its kernels are of float32 and float16"
    shape = shapes.get(node.input[0], [])
    match node.op_type:
        case "GroupNorm" | "SkipGroupNorm":
            channels, groups = shape[-1], _attributes(node)["groups"]
            if len(shape) != 4 or channels % (2 * groups) or channels > _MOST_CHANNELS:
                yield f"{groups} groups of an image of {shape}"
            if any(types[name] != TensorProto.FLOAT for name in node.input[1:3]):
                yield "scale and shift are float32 for every type of image"
        case "BiasSplitGelu" if len(shape) != 3 or shape[2] not in GATE_WIDTHS:
            yield f"there are kernels for widths {', '.join(map(str, GATE_WIDTHS))}, not for {shape}"


# What they mean


def foreign(model: onnx.ModelProto) -> bool:
    """Whether a graph has operators without a kernel in the CPU provider."""
    return any(node.domain == CONTRIB and node.op_type in _CUDA_ONLY for node in model.graph.node)


def standard(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same graph without com.microsoft operators, for float32 and float16."""
    plain = onnx.ModelProto()
    plain.CopyFrom(model)
    del plain.graph.node[:]
    made = _Nodes(plain.graph)
    for node in model.graph.node:
        if node.domain == CONTRIB:
            _MEANINGS[node.op_type](made, node)
        else:
            plain.graph.node.append(node)
    others = [entry for entry in plain.opset_import if entry.domain != CONTRIB]
    del plain.opset_import[:]
    plain.opset_import.extend(others)
    return plain


class _Nodes:
    """Appends nodes and constants to a graph, each under a name of its own."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self.graph = graph
        self.types = {
            value.name: value.type.tensor_type.elem_type for value in (*graph.input, *graph.output, *graph.value_info)
        }
        self.constants: dict[bytes, str] = {}

    def op(self, op_type: str, *inputs: str, out: str = "", **attributes: Any) -> str:
        name = out or f"standard/{len(self.graph.node)}"
        self.graph.node.append(helper.make_node(op_type, inputs, [name], name, **attributes))
        return name

    def constant(self, values: Any, dtype: type = np.int64) -> str:
        tensor = numpy_helper.from_array(np.array(values, dtype=dtype))
        key = tensor.SerializeToString()
        if key not in self.constants:
            tensor.name = self.constants[key] = f"standard/constant/{len(self.constants)}"
            self.graph.initializer.append(tensor)
        return self.constants[key]


def _attributes(node: NodeProto) -> dict[str, Any]:
    return {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}


def _nhwc_conv(b: _Nodes, node: NodeProto) -> None:
    x, weight, *bias = node.input
    images = b.op("Transpose", x, perm=TO_FIRST), b.op("Transpose", weight, perm=TO_FIRST)
    y = b.op("Conv", *images, *bias, **_attributes(node))
    b.op("Transpose", y, perm=TO_LAST, out=node.output[0])


def _group_norm(b: _Nodes, node: NodeProto) -> None:
    _normed(b, node, node.input[0])


def _skip_group_norm(b: _Nodes, node: NodeProto) -> None:
    x, _, _, skip, *bias = node.input
    total = b.op("Add", x, skip)
    _normed(b, node, b.op("Add", total, *bias) if bias else total)


def _normed(b: _Nodes, node: NodeProto, x: str) -> None:
    """Statistics in float32, x * sigmoid(x) where activation is 1."""
    given = _attributes(node)
    groups = given["groups"]
    image = b.op("Cast", b.op("Transpose", x, perm=TO_FIRST), to=TensorProto.FLOAT)
    flat = b.op("Reshape", image, b.constant([0, groups, -1]))
    ones, zeros = (b.constant([value] * groups, np.float32) for value in (1, 0))
    y = b.op("InstanceNormalization", flat, ones, zeros, epsilon=given.get("epsilon", 1e-5))
    y = b.op("Reshape", y, b.op("Shape", image))
    scale, shift = (b.op("Reshape", name, b.constant([-1, 1, 1])) for name in node.input[1:3])
    y = b.op("Add", b.op("Mul", y, scale), shift)
    if given["activation"]:
        y = b.op("Mul", y, b.op("Sigmoid", y))
    y = b.op("Cast", y, to=b.types[node.output[0]])
    b.op("Transpose", y, perm=TO_LAST, out=node.output[0])


def _bias_split_gelu(b: _Nodes, node: NodeProto) -> None:
    """The first half times GELU of the second."""
    total = b.op("Add", *node.input)
    halves = [f"{node.output[0]}/value", f"{node.output[0]}/gate"]
    b.graph.node.append(helper.make_node("Split", [total], halves, f"{node.name}/split", axis=-1, num_outputs=2))
    b.op("Mul", halves[0], b.op("Gelu", halves[1]), out=node.output[0])


def _attention(b: _Nodes, node: NodeProto) -> None:
    """softmax(q kᵀ / sqrt(d)) v for each head; tokens whose mask is 0 are moved far down."""
    q, k, v, *rest = node.input
    given = _attributes(node)
    heads, dtype = given["num_heads"], b.types[node.output[0]]

    def split(x: str, *perm: int) -> str:
        return b.op("Transpose", b.op("Reshape", x, b.constant([0, 0, heads, -1])), perm=perm)

    query, key, value = split(q, 0, 2, 1, 3), split(k, 0, 2, 3, 1), split(v, 0, 2, 1, 3)
    query, key = (b.op("Cast", x, to=TensorProto.FLOAT) for x in (query, key))
    root = b.op("Sqrt", b.op("Cast", b.op("Shape", query, start=3), to=TensorProto.FLOAT))
    scores = b.op("Div", b.op("MatMul", query, key), root)
    if len(rest) > 1 and rest[1]:
        hidden = b.op("Cast", b.op("Equal", rest[1], b.constant(0, np.int32)), to=TensorProto.FLOAT)
        far = b.constant(given.get("mask_filter_value", -10000.0), np.float32)
        bias = b.op("Mul", hidden, far)
        scores = b.op("Add", scores, b.op("Unsqueeze", bias, b.constant([1, 2])))
    mixed = b.op("MatMul", b.op("Cast", b.op("Softmax", scores, axis=-1), to=dtype), value)
    b.op("Reshape", b.op("Transpose", mixed, perm=(0, 2, 1, 3)), b.constant([0, 0, -1]), out=node.output[0])


_MEANINGS: Mapping[str, Callable[[_Nodes, NodeProto], None]] = {
    "BiasSplitGelu": _bias_split_gelu,
    "GroupNorm": _group_norm,
    "MultiHeadAttention": _attention,
    "NhwcConv": _nhwc_conv,
    "SkipGroupNorm": _skip_group_norm,
}
