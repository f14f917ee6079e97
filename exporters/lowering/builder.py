"""The graph under construction: typed values with symbolic sizes, constants said once, names taken from the leaf."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from math import lcm
from typing import TypeAlias

import numpy as np
import onnx_ir as ir
import torch

from exporters.lowering.dims import Dim, Floor, Size, exact_div, number, product
from exporters.lowering.dtypes import DTYPES, FLOATS, HALVES, inline, number_bytes
from exporters.lowering.flavour import Flavour
from exporters.lowering.weights import Weights
from netspec.errors import Diagnostic, ExportError

Attribute: TypeAlias = int | float | str | Sequence[int] | Sequence[float]


class Builder:
    """What a lowering works with. Values are `onnx_ir.Value`; `dims` and `dtype` say what each one is.

    sizes: what named sizes usually are, where that is known.
    """

    def __init__(
        self, flavour: Flavour, weights: Weights, reserved: Iterable[str], sizes: Mapping[str, int] | None = None
    ) -> None:
        self.flavour = flavour
        self._usual = sizes or {}
        self.nodes: list[ir.Node] = []
        self._weights = weights
        self._dims: dict[ir.Value, tuple[Size, ...]] = {}
        self._dtypes: dict[ir.Value, torch.dtype] = {}
        self._names: set[str] = set(reserved)
        self._constants: dict[tuple[str, tuple[int, ...], bytes], ir.Value] = {}
        self._sources: dict[Size, tuple[ir.Value, int]] = {}
        self._casts: dict[tuple[ir.Value, torch.dtype], ir.Value] = {}
        self._shapes: dict[Size | tuple[Size, ...], ir.Value] = {}
        self.module_path = ""

    # Values

    def dims(self, value: ir.Value) -> tuple[Size, ...]:
        return self._dims[value]

    def dtype(self, value: ir.Value) -> torch.dtype:
        return self._dtypes[value]

    def describe(self, value: ir.Value, dims: Sequence[Size], dtype: torch.dtype) -> ir.Value:
        """Give a value its type; every value passes here, so every size has a tensor that it can be read from."""
        if dtype not in DTYPES:
            raise ExportError(Diagnostic(code="NS502", message=f"ONNX has no type for {dtype}"))
        self._dims[value], self._dtypes[value] = tuple(dims), dtype
        value.shape = ir.Shape([size if isinstance(size, int) else str(size) for size in dims])
        value.type = ir.TensorType(DTYPES[dtype])
        for axis, size in enumerate(dims):
            if isinstance(size, Dim):
                self._sources.setdefault(size, (value, axis))
        return value

    def op(
        self,
        op_type: str,
        *inputs: ir.Value | None,
        dims: Sequence[Size],
        dtype: torch.dtype | None = None,
        domain: str = "",
        **attributes: Attribute,
    ) -> ir.Value:
        """Append a node with one output. `dtype` defaults to that of the first input."""
        return self.split_op(op_type, *inputs, dims=[dims], dtype=dtype, domain=domain, **attributes)[0]

    def split_op(
        self,
        op_type: str,
        *inputs: ir.Value | None,
        dims: Sequence[Sequence[Size]],
        dtype: torch.dtype | None = None,
        domain: str = "",
        **attributes: Attribute,
    ) -> list[ir.Value]:
        """Append a node with one output for each entry of `dims`."""
        outputs = [ir.Value() for _ in dims]
        node = ir.Node(domain, op_type, inputs, ir.convenience.convert_attributes(attributes), outputs=outputs)
        self.nodes.append(node)
        first = next((value for value in inputs if value is not None), None)
        kind = dtype or (self.dtype(first) if first is not None else torch.float32)
        for output, sizes in zip(outputs, dims, strict=True):
            self.describe(output, sizes, kind)
        return outputs

    # Constants and weights

    def constant(self, array: np.ndarray, dtype: torch.dtype) -> ir.Value:
        """A small tensor written into the graph; equal ones are one."""
        tensor = torch.from_numpy(np.array(array)).to(dtype)
        key = (str(dtype), tuple(array.shape), number_bytes(tensor))
        if key not in self._constants:
            name = self.unique(_constant_name(array, dtype))
            value = ir.Value(name=name, const_value=inline(tensor, name))
            self._constants[key] = self.describe(value, array.shape, dtype)
        return self._constants[key]

    def ints(self, *values: int) -> ir.Value:
        """A 1-D int64 constant: axes, shapes, sizes of parts."""
        return self.constant(np.array(values, dtype=np.int64), torch.int64)

    def scalar(self, value: float, dtype: torch.dtype) -> ir.Value:
        return self.constant(np.array(value, dtype=np.float64 if dtype in FLOATS else np.int64), dtype)

    def filled(self, value: float, count: int, dtype: torch.dtype) -> ir.Value:
        return self.constant(np.full(count, value, dtype=np.float64), dtype)

    def tensor(self, key: str, shape: Sequence[int] = ()) -> ir.Value:
        """The parameter or buffer at a dotted name, its numbers as they lie in `shape` where one is given."""
        value, own, dtype = self._weights.value(key, shape)
        if value not in self._dims:
            self.describe(value, own, dtype)
            self._names.add(str(value.name))
        return value

    def parameter(self, name: str, shape: Sequence[int] = ()) -> ir.Value:
        """A parameter or buffer of the module being lowered, likewise."""
        return self.tensor(f"{self.module_path}.{name}" if self.module_path else name, shape)

    # The few operations that every lowering needs

    def cast(self, value: ir.Value, dtype: torch.dtype) -> ir.Value:
        if self.dtype(value) == dtype:
            return value
        if dtype not in DTYPES:
            raise ExportError(Diagnostic(code="NS502", message=f"ONNX has no type for {dtype}"))
        if (value, dtype) not in self._casts:
            cast = self.op("Cast", value, dims=self.dims(value), dtype=dtype, to=int(DTYPES[dtype]))
            self._casts[value, dtype] = cast
        return self._casts[value, dtype]

    def exact(self, value: ir.Value) -> ir.Value:
        """The value in a precision that sums and exponentials survive: float32 for halves, else as it is."""
        return self.cast(value, torch.float32) if self.dtype(value) in HALVES else value

    def transpose(self, value: ir.Value, *perm: int) -> ir.Value:
        dims = self.dims(value)
        return self.op("Transpose", value, dims=[dims[axis] for axis in perm], perm=perm)

    def unsqueeze(self, value: ir.Value, *axes: int) -> ir.Value:
        dims = list(self.dims(value))
        for axis in sorted(axes):
            dims.insert(axis, 1)
        return self.op("Unsqueeze", value, self.ints(*sorted(axes)), dims=dims)

    def reshape(self, value: ir.Value, dims: Sequence[Size]) -> ir.Value:
        """Reshape to sizes that may be symbolic: 0 copies a size that stays in place, -1 stands for one more.

        Only where two sizes move is a shape computed at run time, once per shape in the whole graph.
        """
        old = self.dims(value)
        if tuple(dims) == old:
            return value
        target: list[Size] = [
            0 if isinstance(size, Dim) and axis < len(old) and old[axis] == size else size
            for axis, size in enumerate(dims)
        ]
        moved = [axis for axis, size in enumerate(target) if isinstance(size, Dim)]
        if moved:
            target[moved[-1]] = -1
        return self.op("Reshape", value, self.vector(target), dims=dims)

    def infer(self, value: ir.Value, sizes: Sequence[Size]) -> tuple[Size, ...]:
        """`sizes` with their -1, if any, replaced by what is left of the value's elements."""
        if -1 not in sizes:
            return tuple(sizes)
        known = product(size for size in sizes if size != -1)
        rest = exact_div(product(self.dims(value)), known)
        if rest is None:
            raise ExportError(
                Diagnostic(code="NS503", message=f"cannot tell the size -1 of a reshape to {tuple(map(str, sizes))}")
            )
        return tuple(rest if size == -1 else size for size in sizes)

    def usual(self, size: Size) -> int | None:
        """What a size is in most runs, None where nobody said: forms are chosen for it."""
        return number(size, self._usual)

    # Sizes at run time

    def vector(self, sizes: Sequence[Size]) -> ir.Value:
        """Sizes as a 1-D int64 tensor: a constant where all are numbers."""
        numbers = [size for size in sizes if isinstance(size, int)]
        if len(numbers) == len(sizes):
            return self.ints(*numbers)
        key = tuple(sizes)
        if key not in self._shapes:
            parts = [self.ints(size) if isinstance(size, int) else self.size(size) for size in sizes]
            self._shapes[key] = self.op("Concat", *parts, dims=[len(parts)], axis=0) if len(parts) > 1 else parts[0]
        return self._shapes[key]

    def size(self, size: Size) -> ir.Value:
        """One size as a 1-element int64 tensor, read once from the first tensor that has it."""
        if isinstance(size, int):
            return self.ints(size)
        if size not in self._shapes:
            self._shapes[size] = self._read(size) if size in self._sources else self._compute(size)
        return self._shapes[size]

    def _read(self, size: Dim) -> ir.Value:
        value, axis = self._sources[size]
        return self.op("Shape", value, dims=[1], dtype=torch.int64, start=axis, end=axis + 1)

    def _compute(self, size: Dim) -> ir.Value:
        """Evaluate the polynomial: terms over their common denominator, then one division."""
        denominator = lcm(*(factor.denominator for _, factor in size.terms))
        total: ir.Value | None = None
        for atoms, factor in size.terms:
            term = self.ints(int(factor * denominator))
            for atom in atoms:
                match atom:
                    case Floor():
                        inner = self.size(atom.numerator)
                        read = self.op("Div", inner, self.ints(atom.divisor), dims=[1])
                    case _:
                        read = self.size(Dim((((atom,), Fraction(1)),)))
                term = self.op("Mul", term, read, dims=[1])
            total = term if total is None else self.op("Add", total, term, dims=[1])
        assert total is not None  # a Dim has at least one term
        return total if denominator == 1 else self.op("Div", total, self.ints(denominator), dims=[1])

    # Names

    def unique(self, name: str) -> str:
        """`name`, or with the first free `_1`, `_2` … where it is taken."""
        count, candidate = 0, name
        while candidate in self._names:
            count += 1
            candidate = f"{name}_{count}"
        self._names.add(candidate)
        return candidate

    def name_since(self, start: int, label: str, result: ir.Value | None, metadata: Mapping[str, str]) -> None:
        """Name what one leaf emitted: the node that makes its result is called as the leaf, the rest below it."""
        for node in self.nodes[start:]:
            own = result is not None and result.producer() is node
            node.name = self.unique(label if own else f"{label}/{_snake(node.op_type)}")
            many = len(node.outputs) > 1
            for index, output in enumerate(node.outputs):
                output.name = f"{node.name}/{index}" if many else node.name
            node.metadata_props.update(metadata)


def _constant_name(array: np.ndarray, dtype: torch.dtype) -> str:
    kind = str(dtype).removeprefix("torch.").replace("float", "f").replace("int", "i")
    values = array.reshape(-1)
    if values.size > 8:
        return f"{kind}_constant" if (values != values[0]).any() else f"{kind}[{values[0]:g}]*{values.size}"
    return f"{kind}[{','.join(f'{value:.9g}' for value in values.tolist())}]"


def _snake(op_type: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", op_type).lower()
