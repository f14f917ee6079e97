"""Attention over token sequences, in the form a runtime has its fast kernels for."""

from __future__ import annotations

import onnx_ir as ir
import torch

from exporters.lowering.builder import Builder
from exporters.lowering.dims import Size


def attention(b: Builder, q: ir.Value, k: ir.Value, v: ir.Value, heads: int) -> ir.Value:
    """softmax(q kᵀ / sqrt(d)) v. q: (N, T, D); k, v: (N, S, D); returns (N, T, D)."""
    # The whole operators have no kernels for float64.
    match "primitive" if b.dtype(q) == torch.float64 else b.flavour.attention:
        case "primitive":
            return _primitive(b, q, k, v, heads)
        case "operator":
            precision = int(ir.DataType.FLOAT)
            return b.op(
                "Attention", q, k, v, dims=b.dims(q), q_num_heads=heads, kv_num_heads=heads, softmax_precision=precision
            )
        case "contrib":
            return b.op("MultiHeadAttention", q, k, v, dims=b.dims(q), domain="com.microsoft", num_heads=heads)


def _primitive(b: Builder, q: ir.Value, k: ir.Value, v: ir.Value, heads: int) -> ir.Value:
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
    scores = b.op("MatMul", query, key, dims=[n, heads, t, s])  # (N, heads, T, S)
    chances = b.cast(b.op("Softmax", b.exact(scores), dims=b.dims(scores), axis=-1), dtype)
    mixed = b.op("MatMul", chances, split(v, s, 0, 2, 1, 3), dims=[n, heads, t, head])
    return b.reshape(b.transpose(mixed, 0, 2, 1, 3), [n, t, width])
