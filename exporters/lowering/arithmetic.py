"""+ - * / between tensors, numbers and sizes, with PyTorch's promotion of types."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import TypeAlias

import onnx_ir as ir
import torch

from exporters.lowering.builder import Builder
from exporters.lowering.dims import Dim, Size, broadcast
from exporters.lowering.dtypes import FLOATS

Operand: TypeAlias = "ir.Value | Size | float"


def binary(op_type: str, on_numbers: Callable[..., Size | float]) -> Callable[..., ir.Value | Size | float]:
    """The lowering of an operator that is `op_type` on tensors and `on_numbers` on plain numbers and sizes."""

    def lower(b: Builder, x: Operand, y: Operand, *, alpha: float = 1) -> ir.Value | Size | float:
        if not isinstance(x, ir.Value) and not isinstance(y, ir.Value):
            return on_numbers(x, y)
        if alpha != 1:
            y = lower_multiply(b, y, alpha)
        dtype = _promoted(b, x, y, division=op_type == "Div")
        left, right = _operand(b, x, dtype), _operand(b, y, dtype)
        return b.op(op_type, left, right, dims=broadcast(b.dims(left), b.dims(right)))

    return lower


def negative(b: Builder, x: Operand) -> ir.Value | Size | float:
    return b.op("Neg", x, dims=b.dims(x)) if isinstance(x, ir.Value) else -1 * x


def power(b: Builder, x: ir.Value, exponent: float) -> ir.Value:
    return b.op("Pow", x, b.scalar(exponent, b.dtype(x)), dims=b.dims(x))


def mean(b: Builder, x: ir.Value, dim: int | tuple[int, ...] | None = None, keepdim: bool = False) -> ir.Value:
    """Halves are summed in float32, as PyTorch sums them: thousands of pixels would leave float16."""
    rank = len(b.dims(x))
    axes = range(rank) if dim is None else (dim,) if isinstance(dim, int) else dim
    wanted = sorted(axis % rank for axis in axes)
    dims = [1 if axis in wanted else size for axis, size in enumerate(b.dims(x)) if keepdim or axis not in wanted]
    return b.cast(b.op("ReduceMean", b.exact(x), b.ints(*wanted), dims=dims, keepdims=int(keepdim)), b.dtype(x))


def _promoted(b: Builder, x: Operand, y: Operand, division: bool) -> torch.dtype:
    """Tensors decide the type; a number only its kind (integer, float)."""
    kinds = [b.dtype(v) if isinstance(v, ir.Value) else None for v in (x, y)]
    if kinds[0] is not None and kinds[1] is not None:
        dtype = torch.promote_types(kinds[0], kinds[1])
    else:
        number = y if kinds[1] is None else x
        dtype = next(kind for kind in kinds if kind is not None)
        if isinstance(number, float) and dtype not in FLOATS:
            dtype = torch.get_default_dtype()
    return torch.get_default_dtype() if division and dtype not in FLOATS else dtype


def _operand(b: Builder, x: Operand, dtype: torch.dtype) -> ir.Value:
    if isinstance(x, ir.Value):
        return b.cast(x, dtype)
    if isinstance(x, Dim):
        return b.cast(b.size(x), dtype)
    return b.scalar(x, dtype)


lower_multiply = binary("Mul", operator.mul)
