"""Attention over token sequences, in the form a runtime has its fast kernels for."""

from __future__ import annotations

import math
from functools import cache

import onnx_ir as ir
import torch

from exporters.lowering.builder import Builder
from exporters.lowering.dims import Size
from netspec.ops.attention import HIDDEN


def attention(b: Builder, q: ir.Value, k: ir.Value, v: ir.Value, heads: int, mask: ir.Value | None = None) -> ir.Value:
    """softmax(q kᵀ / sqrt(d)) v. q: (N, T, D); k, v: (N, S, D); mask: (N, S) or absent; returns (N, T, D)."""
    # The whole operators have no kernels for float64.
    match "primitive" if b.dtype(q) == torch.float64 else b.flavour.attention:
        case "primitive":
            return _primitive(b, q, k, v, heads, mask)
        case "operator":
            precision = int(ir.DataType.FLOAT)
            bias = [] if mask is None else [_for_each_query(b, _bias(b, mask, b.dtype(q)), b.dims(q)[1])]
            return b.op(
                "Attention", q, k, v, *bias,
                dims=b.dims(q), q_num_heads=heads, kv_num_heads=heads, softmax_precision=precision,
            )  # fmt: skip
        case "native":
            return _native(b, q, k, v, heads, mask)
        case "contrib":
            seen = [] if mask is None else [None, b.cast(_seen(b, mask), torch.int32)]  # no bias of the projections
            return b.op(
                "MultiHeadAttention", q, k, v, *seen,
                dims=b.dims(q), domain="com.microsoft", num_heads=heads, mask_filter_value=HIDDEN,
            )  # fmt: skip


def _primitive(b: Builder, q: ir.Value, k: ir.Value, v: ir.Value, heads: int, mask: ir.Value | None) -> ir.Value:
    """Both operands are scaled by d**-1/4 before they meet: half precision cannot overflow, and fused kernels of
    TensorRT look for this form. One transpose per operand; that of k is the one the product needs anyway."""
    n, t, width = b.dims(q)
    s = b.dims(k)[1]
    assert isinstance(width, int)  # a network's widths are numbers
    head = width // heads
    dtype = b.dtype(q)
    factors = scale_factors(head)

    def split(x: ir.Value, length: Size, *perm: int) -> ir.Value:
        return b.transpose(b.reshape(x, [n, length, heads, head]), *perm)

    def scaled(x: ir.Value, factor: float) -> ir.Value:  # next to the product, where ONNX Runtime folds it in
        return b.op("Mul", x, b.scalar(factor, dtype), dims=b.dims(x))

    query, key = scaled(split(q, t, 0, 2, 1, 3), factors[0]), scaled(split(k, s, 0, 2, 3, 1), factors[1])
    scores = b.exact(b.op("MatMul", query, key, dims=[n, heads, t, s]))  # (N, heads, T, S)
    if mask is not None:
        scores = b.op("Add", scores, _bias(b, mask, b.dtype(scores)), dims=b.dims(scores))
    chances = b.cast(b.op("Softmax", scores, dims=b.dims(scores), axis=-1), dtype)
    mixed = b.op("MatMul", chances, split(v, s, 0, 2, 1, 3), dims=[n, heads, t, head])
    return b.reshape(b.transpose(mixed, 0, 2, 1, 3), [n, t, width])


@cache
def scale_factors(head: int) -> tuple[float, float]:
    """Two numbers near d**-1/4 whose product is d**-1/2, also when both are rounded to bfloat16, whose 8 digits would
    make the scale of the scores wrong by up to 0.8 %. The first is a bfloat16 number, the second very nearly one."""
    scale = head**-0.5
    mantissa, exponent = math.frexp(math.sqrt(scale))
    steps = round(mantissa * 256)  # of 8 binary digits
    near = sorted(range(max(steps - 32, 128), min(steps + 32, 256) + 1), key=lambda each: abs(each - steps))
    first = min((each * 2.0 ** (exponent - 8) for each in near), key=lambda factor: abs(_rounding(scale / factor)))
    return first, scale / first


def _rounding(number: float) -> float:
    """What rounding to bfloat16 changes, relative to the number."""
    digits = math.frexp(number)[0] * 256
    return round(digits) / digits - 1


def _native(b: Builder, q: ir.Value, k: ir.Value, v: ir.Value, heads: int, mask: ir.Value | None) -> ir.Value:
    """Attention-23 on (N, heads, T, d). Its scale is written out: TensorRT computes a default one in the half type."""
    n, t, width = b.dims(q)
    assert isinstance(width, int)  # a network's widths are numbers
    head = width // heads

    def split(x: ir.Value) -> ir.Value:
        return b.transpose(b.reshape(x, [n, b.dims(x)[1], heads, head]), 0, 2, 1, 3)

    bias = [] if mask is None else [_for_each_query(b, _bias(b, mask, b.dtype(q)), t)]
    y = b.op("Attention", split(q), split(k), split(v), *bias, dims=[n, heads, t, head], scale=head**-0.5)
    return b.reshape(b.transpose(y, 0, 2, 1, 3), [n, t, width])


def single_head(b: Builder, q: ir.Value, k: ir.Value, v: ir.Value, mask: ir.Value | None = None) -> ir.Value:
    """The primitive form of one head, which needs no axis for it. q: (N, T, d); k, v: (N, S, d); returns (N, T, d)."""
    n, t, width = b.dims(q)
    s = b.dims(k)[1]
    assert isinstance(width, int)  # a network's widths are numbers
    dtype = b.dtype(q)
    query, key = (
        b.op("Mul", x, b.scalar(factor, dtype), dims=b.dims(x))
        for x, factor in zip((q, b.transpose(k, 0, 2, 1)), scale_factors(width), strict=True)
    )
    scores = b.exact(b.op("MatMul", query, key, dims=[n, t, s]))
    if mask is not None:
        scores = b.op("Add", scores, _bias(b, mask, b.dtype(scores), 1), dims=b.dims(scores))
    chances = b.cast(b.op("Softmax", scores, dims=b.dims(scores), axis=-1), dtype)
    return b.op("MatMul", chances, v, dims=b.dims(q))


def _for_each_query(b: Builder, bias: ir.Value, queries: Size) -> ir.Value:
    """(N, 1, 1, S) to (N, 1, T, S): ONNX Runtime's kernel does not broadcast over the queries."""
    n, heads, _, s = b.dims(bias)
    return b.op("Expand", bias, b.vector([n, heads, queries, s]), dims=[n, heads, queries, s])


def _seen(b: Builder, mask: ir.Value) -> ir.Value:
    """Which tokens are seen, as booleans: (N, S)."""
    return b.cast(mask, torch.bool)  # everything but zero is true


def _bias(b: Builder, mask: ir.Value, dtype: torch.dtype, *axes: int) -> ir.Value:
    """What a mask adds to the scores: (N, 1, 1, S), or as wide as `axes` make it."""
    hidden = b.op("Not", _seen(b, mask), dims=b.dims(mask))
    return b.unsqueeze(b.op("Mul", b.cast(hidden, dtype), b.scalar(HIDDEN, dtype), dims=b.dims(mask)), *axes or (1, 2))
