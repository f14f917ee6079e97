"""Matrix products with a weight that stays as the checkpoint has it: (out, in)."""

from __future__ import annotations

import onnx_ir as ir
from torch import nn

from exporters.lowering.builder import Builder
from exporters.lowering.dims import product


def linear_module(b: Builder, m: nn.Linear, x: ir.Value) -> ir.Value:
    return linear(b, x, b.parameter("weight"), b.parameter("bias") if m.bias is not None else None)


def linear(b: Builder, x: ir.Value, weight: ir.Value, bias: ir.Value | None = None) -> ir.Value:
    """x Wᵀ + b over the last axis. Two axes are one Gemm; more follow the flavour."""
    *lead, _ = b.dims(x)
    out, inner = b.dims(weight)
    if len(lead) == 1:
        return _gemm(b, x, weight, bias)
    if b.flavour.linear == "gemm":
        flat = b.reshape(x, [product(lead), inner])
        return b.reshape(_gemm(b, flat, weight, bias), [*lead, out])
    y = b.op("MatMul", x, b.transpose(weight, 1, 0), dims=[*lead, out])
    return y if bias is None else b.op("Add", y, bias, dims=[*lead, out])


def _gemm(b: Builder, x: ir.Value, weight: ir.Value, bias: ir.Value | None) -> ir.Value:
    inputs = [x, weight] if bias is None else [x, weight, bias]
    return b.op("Gemm", *inputs, dims=[b.dims(x)[0], b.dims(weight)[0]], transB=1)


def embedding(b: Builder, m: nn.Embedding, x: ir.Value) -> ir.Value:
    """Rows of a table: integers of any shape to (*shape, dim)."""
    table = b.parameter("weight")
    return b.op("Gather", table, x, dims=[*b.dims(x), m.embedding_dim], axis=0)
