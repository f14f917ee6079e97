"""Elementwise functions of one tensor, as functions and as torch.nn modules."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import onnx_ir as ir
from torch import nn

from exporters.lowering.builder import Builder
from exporters.lowering.channels_last import first, normed, with_silu


def elementwise(op_type: str) -> Callable[..., ir.Value]:
    """The lowering of a function that one ONNX operator is."""

    def lower(b: Builder, x: ir.Value, inplace: bool = False) -> ir.Value:
        return b.op(op_type, x, dims=b.dims(x))

    return lower


def silu(b: Builder, x: ir.Value, inplace: bool = False) -> ir.Value:
    """x * sigmoid(x); a norm with channels last does it in the same pass."""
    if (norm := normed(x)) is not None:
        return first(b, with_silu(b, norm))
    if b.flavour.silu == "operator":
        return b.op("Swish", x, dims=b.dims(x))
    return b.op("Mul", x, b.op("Sigmoid", x, dims=b.dims(x)), dims=b.dims(x))


def gelu(b: Builder, x: ir.Value, approximate: str = "none") -> ir.Value:
    """x * Phi(x); Phi by erf, or with `approximate="tanh"` as Hendrycks and Gimpel 2016, arXiv:1606.08415, Sec. 2."""
    if b.flavour.gelu == "operator":
        return b.op("Gelu", x, dims=b.dims(x), approximate=approximate)
    dims, dtype = b.dims(x), b.dtype(x)
    if approximate == "tanh":
        cube = b.op("Mul", b.op("Mul", x, x, dims=dims), x, dims=dims)
        inner = b.op("Add", x, b.op("Mul", cube, b.scalar(0.044715, dtype), dims=dims), dims=dims)
        phi = b.op("Tanh", b.op("Mul", inner, b.scalar(math.sqrt(2 / math.pi), dtype), dims=dims), dims=dims)
    else:
        phi = b.op("Erf", b.op("Div", x, b.scalar(math.sqrt(2), dtype), dims=dims), dims=dims)
    twice = b.op("Mul", x, b.op("Add", phi, b.scalar(1.0, dtype), dims=dims), dims=dims)
    return b.op("Mul", twice, b.scalar(0.5, dtype), dims=dims)


def leaky_relu(b: Builder, x: ir.Value, negative_slope: float = 0.01, inplace: bool = False) -> ir.Value:
    return b.op("LeakyRelu", x, dims=b.dims(x), alpha=negative_slope)


def softmax(b: Builder, x: ir.Value, dim: int = -1, **_: Any) -> ir.Value:
    """Exponentials of half precisions are summed in float32."""
    h = b.exact(x)
    return b.cast(b.op("Softmax", h, dims=b.dims(h), axis=dim), b.dtype(x))


def identity(b: Builder, x: ir.Value, *_: Any, **__: Any) -> ir.Value:
    """What does nothing at inference: Dropout, contiguous, detach …"""
    return x


def without_module(lowering: Callable[..., ir.Value]) -> Callable[..., ir.Value]:
    """A module's lowering from its function's, for modules without options."""

    def lower(b: Builder, m: nn.Module, x: ir.Value) -> ir.Value:
        return lowering(b, x)

    return lower


def gelu_module(b: Builder, m: nn.GELU, x: ir.Value) -> ir.Value:
    return gelu(b, x, m.approximate)


def leaky_relu_module(b: Builder, m: nn.LeakyReLU, x: ir.Value) -> ir.Value:
    return leaky_relu(b, x, m.negative_slope)


def softmax_module(b: Builder, m: nn.Softmax, x: ir.Value) -> ir.Value:
    return softmax(b, x, -1 if m.dim is None else m.dim)
