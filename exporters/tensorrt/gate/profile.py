"""An optimization profile, min, opt and max sizes of each input, and the sizes that it gives every value."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import add, floordiv, mod, mul, pow, sub
from pathlib import Path
from typing import Any, TypeAlias

from exporters.tensorrt.gate.graph import BITS, Dim, Graph, Shape, elements
from exporters.tensorrt.gate.inference import infer
from netspec.errors import Diagnostic, UsageError

Sizes: TypeAlias = tuple[int, ...]
POINTS = ("min", "opt", "max")
FILE = "profile.json"  # beside the graph


@dataclass(frozen=True)
class Profile:
    """`sizes["x"]["max"]`: the sizes of input x at the largest point."""

    sizes: Mapping[str, Mapping[str, Sizes]]

    @classmethod
    def read(cls, path: Path) -> Profile:
        """From JSON: `{"x": {"min": [1, 4, 8, 8], "opt": …, "max": …}, …}`. Raises UsageError NS546."""
        try:
            return cls.of(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError) as error:
            raise _wrong(f"cannot read {path.name}: {error}") from error

    @classmethod
    def of(cls, data: Any) -> Profile:
        """From plain data of that form. Raises UsageError NS546 where it has another."""
        if not isinstance(data, Mapping):
            raise _wrong("a profile maps names of inputs to their sizes")
        sizes = {}
        for name, points in data.items():
            if not isinstance(points, Mapping) or set(points) != set(POINTS):
                raise _wrong(f"input `{name}` needs sizes for min, opt and max, and nothing else")
            if not all(_is_shape(points[point]) for point in POINTS):
                raise _wrong(f"sizes of input `{name}` are lists of whole numbers")
            sizes[name] = {point: tuple(points[point]) for point in POINTS}
        return cls(sizes)


@dataclass(frozen=True)
class Largest:
    """The sizes of values at the profile's max. `unknown` counts the values whose size nobody can tell."""

    shapes: Mapping[str, Sizes]
    unknown: int

    def elements(self, name: str) -> int:
        return elements(self.shapes[name])


def largest(graph: Graph, profile: Profile | None) -> Largest | None:
    """None where sizes depend on a profile and there is none that fits the graph's inputs."""
    known = {name: points["max"] for name, points in profile.sizes.items()} if profile else {}
    shapes: dict[str, Sizes] = {}
    names: dict[str, int] = {}
    for name, kind in graph.inputs.items():
        declared = kind.shape or ()
        sizes = known.get(name, declared)
        if len(sizes) != len(declared) or not all(isinstance(size, int) for size in sizes):
            return None
        shapes[name] = tuple(size for size in sizes if isinstance(size, int))
        names.update((dim, size) for dim, size in zip(declared, shapes[name], strict=True) if isinstance(dim, str))
    declared_shapes = {name: graph.shape(name) for name in graph.values}
    for name, shape in declared_shapes.items():
        if shape is not None and (sizes_of := _evaluated(shape, names)) is not None:
            shapes.setdefault(name, sizes_of)
    if missing := [name for name in graph.values if name not in shapes]:
        inferred = dict(_inferred(graph, shapes))
        shapes.update((name, inferred[name]) for name in missing if name in inferred)
    return Largest(shapes, sum(name not in shapes for name in graph.values))


def activation_bytes(graph: Graph, at: Largest, unwritten: set[str]) -> int:
    """The most bytes of values alive at once, run in the file's order, without reuse of views.

    Unlike TensorRT, which fuses: what attention keeps to itself is left out, other fusions are not known.
    """
    owner: dict[str, str] = {}  # a view's memory is that of what it views
    for node in graph.nodes:
        if node.op in _VIEWS and not graph.is_constant(node.input(0)):
            owner[node.outputs[0]] = owner.get(node.input(0), node.input(0))
    until = dict.fromkeys([*graph.inputs, *graph.outputs], len(graph.nodes))  # whoever runs the engine holds these
    for position, node in reversed(list(enumerate(graph.nodes))):
        # A fused node reads its inputs when the last of the nodes that it is fused with runs.
        read = max([until.get(name, position) for name in node.outputs if name in unwritten], default=position)
        for name in node.inputs:
            held = owner.get(name, name)
            until[held] = max(until.get(held, 0), read)
            until[name] = until[held]
    dying: dict[int, list[str]] = {}
    for name, position in until.items():
        dying.setdefault(position, []).append(name)
    alive = {name: _bytes(graph, at, name) for name in graph.inputs}
    total = peak = sum(alive.values())
    for position, node in enumerate(graph.nodes):
        for name in node.outputs:
            if name in until and name not in owner and name not in unwritten:
                alive[name] = _bytes(graph, at, name)
                total += alive[name]
        peak = max(peak, total)
        total -= sum(alive.pop(name, 0) for name in dying.get(position, ()))
    return peak


_VIEWS = ("Reshape", "Squeeze", "Unsqueeze", "Flatten", "Identity")
_OPERATIONS = {ast.Add: add, ast.Sub: sub, ast.Mult: mul, ast.FloorDiv: floordiv, ast.Mod: mod, ast.Pow: pow}


def _bytes(graph: Graph, at: Largest, name: str) -> int:
    return elements(at.shapes.get(name, (0,))) * BITS.get(graph.dtype(name), 0) // 8


def _evaluated(shape: Shape, names: Mapping[str, int]) -> Sizes | None:
    sizes = tuple(_size(dim, names) for dim in shape)
    return None if None in sizes else tuple(size for size in sizes if size is not None)


def _size(dim: Dim, names: Mapping[str, int]) -> int | None:
    """`3*height/8` where height is known; None for a formula with other names or of another form."""
    if dim is None or isinstance(dim, int):
        return dim
    if dim in names:
        return names[dim]
    try:
        value = _value(ast.parse(dim, mode="eval").body, names)
    except (SyntaxError, KeyError, TypeError, ValueError, ZeroDivisionError):
        return None
    return value if value >= 0 else None


def _value(node: ast.expr, names: Mapping[str, int]) -> int:
    match node:
        case ast.Constant(int(number)):
            return number
        case ast.Name(name):
            return names[name]
        case ast.UnaryOp(ast.USub(), operand):
            return -_value(operand, names)
        case ast.BinOp(left, ast.Div(), right):
            quotient, rest = divmod(_value(left, names), _value(right, names))
            if rest:
                raise ValueError("a size is a whole number")
            return quotient
        case ast.BinOp(left, operation, right):
            return int(_OPERATIONS[type(operation)](_value(left, names), _value(right, names)))
        case ast.Call(ast.Name("floor" | "Max" | "max" | "Min" | "min" as function), arguments):
            values = [_value(each, names) for each in arguments]
            return {"floor": values[0], "max": max(values), "min": min(values)}[function.lower()]
    raise ValueError(f"not a size: {ast.unparse(node)}")


def _inferred(graph: Graph, shapes: Mapping[str, Sizes]) -> Iterator[tuple[str, Sizes]]:
    """The sizes that ONNX's inference finds when inputs have theirs in numbers."""
    for value in infer(graph.model, {name: shapes[name] for name in graph.inputs}).values:
        tensor = value.type.tensor_type
        if tensor.HasField("shape") and all(dim.HasField("dim_value") for dim in tensor.shape.dim):
            yield value.name, tuple(dim.dim_value for dim in tensor.shape.dim)


def _is_shape(sizes: Any) -> bool:
    return isinstance(sizes, Sequence) and all(isinstance(size, int) and size >= 0 for size in sizes)


def _wrong(message: str) -> UsageError:
    form = '{"x": {"min": [1, 4, 32, 32], "opt": [2, 4, 64, 64], "max": [4, 4, 96, 96]}, …}'
    return UsageError(Diagnostic("NS546", message, help=(f"write it as {form}",)))
