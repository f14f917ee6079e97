"""Sinusoidal codes of a grid: each side coded by itself, then spread over the grid."""

from __future__ import annotations

import onnx_ir as ir
import torch

from exporters.lowering import shapes
from exporters.lowering.builder import Builder
from exporters.lowering.dims import Size, product
from netspec.ops.positions import coordinates, wave_rates, waves


def sincos_positions(b: Builder, like: ir.Value, span: float) -> ir.Value:
    """In float32, whatever the graph's precision. like: (N, C, rows, columns); returns (1, rows * columns, C)."""
    _, channels, rows, columns = b.dims(like)
    assert isinstance(channels, int)  # a network's widths are numbers
    row, column = (_waves(b, side, span, channels // 2) for side in (rows, columns))
    dims = (rows, columns, -1)
    parts = [shapes.expand(b, b.unsqueeze(column, 0), *dims), shapes.expand(b, b.unsqueeze(row, 1), *dims)]
    table = b.reshape(shapes.cat(b, parts, dim=-1), [1, product((rows, columns)), channels])
    return b.cast(table, b.dtype(like))


def _waves(b: Builder, count: Size, span: float, width: int) -> ir.Value:
    """The code of one side's places: (count, width), a constant where their number is known."""
    exact = torch.float32
    if isinstance(count, int):
        return b.constant(waves(coordinates(count, count / span), width).numpy(), exact)
    scale = b.op("Div", b.cast(b.size(count), exact), b.scalar(span, exact), dims=[1])
    place = b.op("Div", shapes.counted(b, count, exact), scale, dims=[count])
    rates = b.constant(wave_rates(width).numpy()[None], exact)  # (1, width / 2)
    dims: list[Size] = [count, width // 2]
    angles = b.op("Mul", b.unsqueeze(place, 1), rates, dims=dims)
    return shapes.cat(b, [b.op(kind, angles, dims=dims) for kind in ("Sin", "Cos")], dim=-1)
