"""Attention over token sequences, in the form a runtime has its fast kernels for."""

from __future__ import annotations

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
    root = b.scalar(head**-0.25, dtype)

    def split(x: ir.Value, length: Size, *perm: int) -> ir.Value:
        return b.transpose(b.reshape(x, [n, length, heads, head]), *perm)

    def scaled(x: ir.Value) -> ir.Value:  # next to the product, where ONNX Runtime folds it into it
        return b.op("Mul", x, root, dims=b.dims(x))

    query, key = scaled(split(q, t, 0, 2, 1, 3)), scaled(split(k, s, 0, 2, 3, 1))
    scores = b.exact(b.op("MatMul", query, key, dims=[n, heads, t, s]))  # (N, heads, T, S)
    if mask is not None:
        scores = b.op("Add", scores, _bias(b, mask, b.dtype(scores)), dims=b.dims(scores))
    chances = b.cast(b.op("Softmax", scores, dims=b.dims(scores), axis=-1), dtype)
    mixed = b.op("MatMul", chances, split(v, s, 0, 2, 1, 3), dims=[n, heads, t, head])
    return b.reshape(b.transpose(mixed, 0, 2, 1, 3), [n, t, width])


def _for_each_query(b: Builder, bias: ir.Value, queries: Size) -> ir.Value:
    """(N, 1, 1, S) to (N, 1, T, S): ONNX Runtime's kernel does not broadcast over the queries."""
    n, heads, _, s = b.dims(bias)
    return b.op("Expand", bias, b.vector([n, heads, queries, s]), dims=[n, heads, queries, s])


def _seen(b: Builder, mask: ir.Value) -> ir.Value:
    """Which tokens are seen, as booleans: (N, S)."""
    return b.cast(mask, torch.bool)  # everything but zero is true


def _bias(b: Builder, mask: ir.Value, dtype: torch.dtype) -> ir.Value:
    """What a mask adds to the scores: (N, 1, 1, S)."""
    hidden = b.op("Not", _seen(b, mask), dims=b.dims(mask))
    return b.unsqueeze(b.op("Mul", b.cast(hidden, dtype), b.scalar(HIDDEN, dtype), dims=b.dims(mask)), 1, 2)
