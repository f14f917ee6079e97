"""Rotary positions: coordinates and angles once per graph, and the turn of queries and keys in a runtime's own form."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir
import torch

from exporters.lowering import shapes
from exporters.lowering.builder import Builder
from exporters.lowering.dims import Size, product
from netspec.ops.rotary import rotary_frequencies


def grid_positions(b: Builder, like: ir.Value, axes: int) -> ir.Value:
    """One Range per side, spread over the grid; a constant where both sides are numbers."""
    n, _, *sides = b.dims(like)
    dtype, before = _exact(b.dtype(like)), axes - len(sides)
    numbers = [side for side in sides if isinstance(side, int)]
    if len(numbers) == len(sides):
        places = np.indices(numbers).reshape(len(numbers), -1).T  # (T, sides)
        grid = b.constant(np.pad(places, ((0, 0), (before, 0)))[None], dtype)  # (1, T, axes)
    else:
        one: list[Size] = [1] * len(sides)
        zero = b.constant(np.zeros([1] * (len(sides) + 1)), dtype)
        spread = [shapes.expand(b, zero, *sides, 1)] * before
        for axis, side in enumerate(sides):
            along = b.reshape(shapes.counted(b, side, dtype), [*one[:axis], side, *one[axis + 1 :], 1])
            spread.append(shapes.expand(b, along, *sides, 1))
        grid = b.reshape(shapes.cat(b, spread, dim=-1), [1, product(sides), axes])
    return shapes.expand(b, grid, n, -1, -1)


def origin_positions(b: Builder, like: ir.Value, axes: int) -> ir.Value:
    n, count, *_ = b.dims(like)
    zero = b.constant(np.zeros((1, 1, axes)), _exact(b.dtype(like)))
    return shapes.expand(b, zero, n, count, axes)


def rotary_table(b: Builder, positions: ir.Value, like: ir.Value, axes: Sequence[int], theta: float) -> ir.Value:
    """Frequencies are a constant in float64 rounded once; a coordinate is repeated for each of its pairs."""
    exact = _exact(b.dtype(like))
    owner, rates = rotary_frequencies(axes, theta)
    n, count, _ = b.dims(positions)
    dims = [n, count, len(owner)]
    repeated = b.op("Gather", b.cast(positions, exact), b.ints(*owner.tolist()), dims=dims, axis=2)
    angles = b.op("Mul", repeated, b.constant(rates.numpy(), exact), dims=dims)
    cos, sin = b.op("Cos", angles, dims=dims), b.op("Sin", angles, dims=dims)
    return shapes.cat(b, [cos, sin], dim=-1)


def rotate(b: Builder, x: ir.Value, table: ir.Value, heads: int) -> ir.Value:
    """Half precisions are turned in the table's, as PyTorch does it."""
    exact = torch.promote_types(b.dtype(x), b.dtype(table))
    h, (cos, sin) = b.cast(x, exact), (b.cast(half, exact) for half in _halves(b, table))
    if b.flavour.rotary == "operator" and exact == torch.float32:
        turned = b.op("RotaryEmbedding", h, cos, sin, dims=b.dims(h), interleaved=1, num_heads=heads)
    else:
        turned = _primitive(b, h, cos, sin, heads)
    return b.cast(turned, b.dtype(x))


def _primitive(b: Builder, x: ir.Value, cos: ir.Value, sin: ir.Value, heads: int) -> ir.Value:
    n, count, half = b.dims(cos)
    dims: list[Size] = [n, count, heads, half, 1]
    pairs = b.reshape(x, [n, count, heads, half, 2])
    even, odd = b.split_op("Split", pairs, b.ints(1, 1), dims=[dims, dims], axis=-1)
    cos, sin = b.unsqueeze(cos, 2, 4), b.unsqueeze(sin, 2, 4)  # (N, T, 1, D / 2, 1)

    def times(one: ir.Value, other: ir.Value) -> ir.Value:
        return b.op("Mul", one, other, dims=dims)

    first = b.op("Sub", times(even, cos), times(odd, sin), dims=dims)
    second = b.op("Add", times(even, sin), times(odd, cos), dims=dims)
    return b.reshape(shapes.cat(b, [first, second], dim=-1), b.dims(x))


def _halves(b: Builder, table: ir.Value) -> Sequence[ir.Value]:
    """Cosines and sines: what the table was joined from, where that is at hand."""
    node = table.producer()
    if node is not None and node.op_type == "Concat" and len(node.inputs) == 2:
        cos, sin = node.inputs
        if cos is not None and sin is not None and b.dims(cos) == b.dims(sin) != b.dims(table):
            return cos, sin
    return shapes.chunk(b, table, 2, dim=-1)


def _exact(dtype: torch.dtype) -> torch.dtype:
    return torch.float64 if dtype == torch.float64 else torch.float32
