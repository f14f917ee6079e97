"""infer(): the types and sizes that a file does not say, by ONNX's own inference, without its weights.

Weights stand for their types: each becomes an input of a stand-in, so that nothing large is copied or read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import onnx
from onnx import AttributeProto, GraphProto, ModelProto, TensorProto, ValueInfoProto, helper

SMALL = 1024  # elements of a tensor that inference may read: shapes, axes, pads


@dataclass(frozen=True)
class Inferred:
    """The values that inference knows, and why it stopped, where it did."""

    values: Sequence[ValueInfoProto]
    error: str


def infer(model: ModelProto, sizes: Mapping[str, Sequence[int]] | None = None) -> Inferred:
    """Types of every value that can be told; with `sizes` of inputs, in numbers."""
    stripped = stand_in(model, sizes)
    error = ""
    for strict in (True, False):  # what the first refuses the second may still go around
        try:
            result = onnx.shape_inference.infer_shapes(stripped, strict_mode=strict, data_prop=True)
        except Exception as problem:  # whatever the C++ side throws: InferenceError, RuntimeError, ValueError
            error = error or " ".join(str(problem).split())
        else:
            return Inferred(list(_values(result.graph)), error)
    return Inferred((), error)


def stand_in(model: ModelProto, sizes: Mapping[str, Sequence[int]] | None = None) -> ModelProto:
    """The graph with weights as inputs. With `sizes`, inputs have these, and nothing else is said beforehand."""
    graph = model.graph
    small = [each for each in graph.initializer if _is_small(each)]
    large = [each for each in graph.initializer if not _is_small(each)]
    weights = {each.name for each in graph.initializer}
    inputs = [each for each in graph.input if each.name not in weights]
    outputs = list(graph.output)
    if sizes is not None:
        inputs = [_sized(each, sizes.get(each.name)) for each in inputs]
        outputs = [helper.make_tensor_value_info(each.name, each.type.tensor_type.elem_type, None) for each in outputs]
    inputs += [helper.make_tensor_value_info(each.name, each.data_type, each.dims) for each in large]
    declared = [] if sizes is not None else list(graph.value_info)
    stripped = helper.make_graph(list(graph.node), graph.name or "graph", inputs, outputs, small, value_info=declared)
    made = helper.make_model(stripped, opset_imports=list(model.opset_import), ir_version=max(model.ir_version, 4))
    made.functions.extend(model.functions)
    return made


def _is_small(tensor: TensorProto) -> bool:
    count = 1
    for size in tensor.dims:
        count *= size
    return bool(tensor.data_location != TensorProto.EXTERNAL and count <= SMALL)


def _sized(value: ValueInfoProto, size: Sequence[int] | None) -> ValueInfoProto:
    if size is None:
        return value
    return helper.make_tensor_value_info(value.name, value.type.tensor_type.elem_type, list(size))


def _values(graph: GraphProto) -> Iterator[ValueInfoProto]:
    yield from graph.value_info
    yield from graph.output
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == AttributeProto.GRAPH:
                yield from _values(attribute.g)
