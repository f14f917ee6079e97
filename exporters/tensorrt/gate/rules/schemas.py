"""What ONNX's own standard says of an operator at an opset."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from onnx import TensorProto, defs

from exporters.tensorrt.gate.graph import Node, dtype_name

# TensorRT's names of types to those of ONNX schemas: FP16 to tensor(float16).
_TEXTS = {
    dtype_name(kind): f"tensor({name.lower()})"
    for name, kind in TensorProto.DataType.items()
    if kind != TensorProto.UNDEFINED
}


@cache
def schema(op: str, opset: int) -> defs.OpSchema | None:
    """None where ONNX has no such operator at that opset."""
    try:
        return defs.get_schema(op, opset, "")
    except defs.SchemaError:
        return None


def formals(node: Node, opset: int) -> Iterator[tuple[int, str, bool]]:
    """(input, its type's name in the schema, whether all that share the name have one type) of every input given."""
    found = schema(node.op, opset)
    formal = found.inputs if found is not None else []
    for index, name in enumerate(node.inputs):
        if name and formal:
            each = formal[min(index, len(formal) - 1)]
            yield index, each.type_str, each.is_homogeneous


def port(node: Node, index: int, opset: int) -> str:
    """What the standard calls an input, in backquotes; of those of any number, with its place among them."""
    found = schema(node.op, opset)
    if found is None or not found.inputs:
        return f"input {index}"
    last = len(found.inputs) - 1
    place = (
        f"[{index - last}]"
        if found.inputs[min(index, last)].option == defs.OpSchema.FormalParameterOption.Variadic
        else ""
    )
    return f"`{found.inputs[min(index, last)].name}{place}`"


@cache
def allowed(op: str, opset: int, type_str: str) -> frozenset[str]:
    """The types, `tensor(float16)`, that a name in a schema stands for."""
    found = schema(op, opset)
    if found is None:
        return frozenset()
    constraints = {each.type_param_str: frozenset(each.allowed_type_strs) for each in found.type_constraints}
    return constraints.get(type_str, frozenset((type_str,)))


def takes(op: str, opset: int, type_str: str, dtype: str) -> bool:
    return _TEXTS.get(dtype, dtype) in allowed(op, opset, type_str)


@cache
def first_opset(op: str, opset: int, type_str: str, dtype: str) -> int | None:
    """The first opset after `opset` at which the operator takes a type; None where there is none."""
    later = range(opset + 1, defs.onnx_opset_version() + 1)
    return next((each for each in later if takes(op, each, type_str, dtype)), None)
