"""Normalisations. Statistics of half precisions are taken in float32, as PyTorch takes them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir
import torch
from torch import nn

from exporters.lowering.builder import Builder
from exporters.lowering.channels_last import CONTRIB, KERNELS, first, last
from exporters.lowering.dims import Size, product


def group_norm_module(b: Builder, m: nn.GroupNorm, x: ir.Value) -> ir.Value:
    scale, shift = (b.parameter("weight"), b.parameter("bias")) if m.affine else (None, None)
    return group_norm(b, x, m.num_groups, scale, shift, m.eps)


def group_norm(
    b: Builder,
    x: ir.Value,
    num_groups: int,
    weight: ir.Value | None = None,
    bias: ir.Value | None = None,
    eps: float = 1e-5,
) -> ir.Value:
    """(x - mean) / sqrt(var + eps) over each group of channels and all positions, then per-channel affine."""
    dtype, h = b.dtype(x), b.exact(x)
    channels = b.dims(x)[1]
    assert isinstance(channels, int)  # a network's widths are numbers
    pairs = channels % (2 * num_groups) == 0  # the kernel with channels last takes two at once
    if b.flavour.layout == "channels_last" and dtype in KERNELS and len(b.dims(x)) == 4 and pairs:
        return _last(b, x, num_groups, weight, bias, eps)
    scale = b.exact(weight) if weight is not None else b.filled(1.0, channels, b.dtype(h))
    shift = b.exact(bias) if bias is not None else b.filled(0.0, channels, b.dtype(h))
    match b.flavour.group_norm:
        case "operator":
            y = b.op("GroupNormalization", h, scale, shift, dims=b.dims(h), epsilon=eps, num_groups=num_groups)
        case "instance":
            y = _by_instance(b, h, num_groups, scale, shift, eps)
        case "affine":
            y = _by_moments(b, h, num_groups, scale, shift, eps)
    return b.cast(y, dtype)


def _last(b: Builder, x: ir.Value, groups: int, weight: ir.Value | None, bias: ir.Value | None, eps: float) -> ir.Value:
    """com.microsoft.GroupNorm, whose scale and shift, as its statistics, are float32 for every type of image."""
    image, channels = last(b, x), b.dims(x)[1]
    assert isinstance(channels, int)  # a network's widths are numbers
    scale = b.exact(weight) if weight is not None else b.filled(1.0, channels, torch.float32)
    shift = b.exact(bias) if bias is not None else b.filled(0.0, channels, torch.float32)
    y = b.op(
        "GroupNorm", image, scale, shift, dims=b.dims(image), domain=CONTRIB, activation=0, groups=groups, epsilon=eps
    )
    return first(b, y)


def _by_instance(b: Builder, x: ir.Value, groups: int, scale: ir.Value, shift: ir.Value, eps: float) -> ir.Value:
    """InstanceNormalization over (N, G, C / G * H * W), the form that runtimes know as a pattern."""
    n, c, *sizes = b.dims(x)
    flat = b.reshape(x, [n, groups, c // groups * product(sizes)])
    one, zero = b.filled(1.0, groups, b.dtype(x)), b.filled(0.0, groups, b.dtype(x))
    normal = b.op("InstanceNormalization", flat, one, zero, dims=b.dims(flat), epsilon=eps)
    y = b.reshape(normal, b.dims(x))
    axes = range(1, 1 + len(sizes))
    y = b.op("Mul", y, b.unsqueeze(scale, *axes), dims=b.dims(x))
    return b.op("Add", y, b.unsqueeze(shift, *axes), dims=b.dims(x))


def _by_moments(b: Builder, x: ir.Value, groups: int, scale: ir.Value, shift: ir.Value, eps: float) -> ir.Value:
    """x * a + c with a = scale / sqrt(var + eps), c = shift - mean * a, both (N, C, 1, 1).

    The image is never reshaped back, so no shape is computed. The variance is of x - mean: moments about zero lose
    all digits where the mean is large.
    """
    n, c, *sizes = b.dims(x)
    per_group = c // groups
    flat = b.reshape(x, [n, groups, per_group * product(sizes)])
    mean = _mean(b, flat)  # (N, G, 1)
    centred = b.op("Sub", flat, mean, dims=b.dims(flat))
    variance = _mean(b, b.op("Mul", centred, centred, dims=b.dims(flat)))
    deviation = _deviation(b, variance, eps)
    by_group: list[Size] = [groups, per_group]
    factor = b.op("Div", b.reshape(scale, by_group), deviation, dims=[n, *by_group])
    offset = b.op(
        "Sub", b.reshape(shift, by_group), b.op("Mul", mean, factor, dims=[n, *by_group]), dims=[n, *by_group]
    )
    per_channel = [n, c, *(1 for _ in sizes)]
    y = b.op("Mul", x, b.reshape(factor, per_channel), dims=b.dims(x))
    return b.op("Add", y, b.reshape(offset, per_channel), dims=b.dims(x))


def layer_norm_module(b: Builder, m: nn.LayerNorm, x: ir.Value) -> ir.Value:
    scale = b.parameter("weight") if m.elementwise_affine else None
    shift = b.parameter("bias") if m.elementwise_affine and m.bias is not None else None
    return layer_norm(b, x, m.normalized_shape, scale, shift, m.eps)


def layer_norm(
    b: Builder,
    x: ir.Value,
    normalized_shape: Sequence[int],
    weight: ir.Value | None = None,
    bias: ir.Value | None = None,
    eps: float = 1e-5,
) -> ir.Value:
    """LayerNormalization-17 over the last axes. Its own `stash_type` keeps statistics in float32."""
    shape = tuple(normalized_shape)
    if weight is None:
        ones = b.filled(1.0, int(product(shape)), b.dtype(x))  # type: ignore[arg-type]  # numbers multiply to a number
        weight = ones if len(shape) == 1 else b.reshape(ones, shape)
    inputs = [x, weight] if bias is None else [x, weight, bias]
    return b.op("LayerNormalization", *inputs, dims=b.dims(x), axis=-len(shape), epsilon=eps)


def rms_norm_module(b: Builder, m: nn.RMSNorm, x: ir.Value) -> ir.Value:
    return rms_norm(b, x, m.normalized_shape, b.parameter("weight") if m.elementwise_affine else None, m.eps)


def rms_norm(
    b: Builder,
    x: ir.Value,
    normalized_shape: Sequence[int],
    weight: ir.Value | None = None,
    eps: float | None = None,
) -> ir.Value:
    """x / sqrt(mean(x * x) + eps) * weight over the last axes. The operator keeps the mean in float32."""
    dtype, h, shape = b.dtype(x), b.exact(x), tuple(normalized_shape)
    epsilon = torch.finfo(b.dtype(h)).eps if eps is None else eps
    if b.flavour.rms_norm == "operator" and dtype != torch.float64:  # which no runtime has a kernel for
        scale = b.constant(np.ones(shape), dtype) if weight is None else weight
        return b.op("RMSNormalization", x, scale, dims=b.dims(x), axis=-len(shape), epsilon=epsilon)
    square = _mean(b, b.op("Mul", h, h, dims=b.dims(h)), *range(-len(shape), 0))
    y = b.op("Div", h, _deviation(b, square, epsilon), dims=b.dims(h))
    if weight is not None:
        y = b.op("Mul", y, b.exact(weight), dims=b.dims(h))
    return b.cast(y, dtype)


def batch_norm(b: Builder, m: nn.BatchNorm2d, x: ir.Value) -> ir.Value:
    """With running statistics: a graph is for inference. A variance above 65,504 is no float16 number."""
    assert m.running_mean is not None  # netspec never builds one without
    dtype, h = b.dtype(x), b.exact(x)
    scale = b.exact(b.parameter("weight")) if m.affine else b.filled(1.0, m.num_features, b.dtype(h))
    shift = b.exact(b.parameter("bias")) if m.affine else b.filled(0.0, m.num_features, b.dtype(h))
    statistics = b.exact(b.parameter("running_mean")), b.exact(b.parameter("running_var"))
    return b.cast(b.op("BatchNormalization", h, scale, shift, *statistics, dims=b.dims(h), epsilon=m.eps), dtype)


def instance_norm(b: Builder, m: nn.InstanceNorm2d, x: ir.Value) -> ir.Value:
    dtype, h = b.dtype(x), b.exact(x)
    scale = b.exact(b.parameter("weight")) if m.affine else b.filled(1.0, m.num_features, b.dtype(h))
    shift = b.exact(b.parameter("bias")) if m.affine else b.filled(0.0, m.num_features, b.dtype(h))
    return b.cast(b.op("InstanceNormalization", h, scale, shift, dims=b.dims(h), epsilon=m.eps), dtype)


def _mean(b: Builder, x: ir.Value, *axes: int) -> ir.Value:
    """Mean over `axes` (the last by default), which stay as size 1."""
    dims = list(b.dims(x))
    wanted = sorted(axis % len(dims) for axis in axes or (-1,))
    for axis in wanted:
        dims[axis] = 1
    return b.op("ReduceMean", x, b.ints(*wanted), dims=dims, keepdims=1)


def _deviation(b: Builder, variance: ir.Value, eps: float) -> ir.Value:
    dims = b.dims(variance)
    return b.op("Sqrt", b.op("Add", variance, b.scalar(eps, b.dtype(variance)), dims=dims), dims=dims)
