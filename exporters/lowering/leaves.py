"""The operations of `netspec.ops`: each keeps its meaning down to the operators that a target wants for it."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
import onnx_ir as ir
import torch
from torch import nn

from exporters.lowering import shapes
from exporters.lowering.builder import Builder
from exporters.lowering.convolutions import convolve
from exporters.lowering.dims import Size, product
from netspec.errors import Diagnostic, ExportError
from netspec.ops.embedding import Order, timestep_frequencies


def cast_like(b: Builder, x: ir.Value, like: ir.Value) -> ir.Value:
    return b.cast(x, b.dtype(like))


def timestep_embedding(
    b: Builder, t: ir.Value, like: ir.Value, dim: int, order: Order, max_period: float, freq_shift: float, scale: float
) -> ir.Value:
    """Frequencies are a constant in float64 rounded once; angles in float32, whatever the graph's precision."""
    exact = _exact(b.dtype(like))
    frequencies = b.constant(timestep_frequencies(dim, max_period, freq_shift).numpy()[None], exact)
    t = b.cast(t, exact)
    if scale != 1:
        t = b.op("Mul", t, b.scalar(scale, exact), dims=b.dims(t))
    features = _sinusoids(b, t, frequencies, order)
    if dim % 2:
        features = shapes.pad(b, features, (0, 1))
    return b.cast(features, b.dtype(like))


def fourier_embedding(b: Builder, t: ir.Value, frequencies: ir.Value, order: Order, like: ir.Value) -> ir.Value:
    exact = _exact(b.dtype(like))
    t = b.cast(t, exact)
    turns = b.op("Mul", t, b.scalar(2 * math.pi, exact), dims=b.dims(t))
    features = _sinusoids(b, turns, b.unsqueeze(b.cast(frequencies, exact), 0), order)
    return b.cast(features, b.dtype(like))


def _exact(dtype: torch.dtype) -> torch.dtype:
    return torch.float64 if dtype == torch.float64 else torch.float32


def _sinusoids(b: Builder, t: ir.Value, frequencies: ir.Value, order: Order) -> ir.Value:
    """sin and cos of t[:, None] * frequencies: (N,), (1, half) to (N, 2 * half)."""
    (n,), half = b.dims(t), b.dims(frequencies)[1]
    angles = b.op("Mul", b.unsqueeze(t, 1), frequencies, dims=[n, half])
    sin, cos = b.op("Sin", angles, dims=[n, half]), b.op("Cos", angles, dims=[n, half])
    return shapes.cat(b, [sin, cos] if order == "sin_cos" else [cos, sin], dim=1)


def modulate(b: Builder, x: ir.Value, shift: ir.Value, scale: ir.Value) -> ir.Value:
    """x: (N, T, C); shift, scale: (N, C). One is added to the vectors, which are small."""
    norm = x.producer()
    if b.flavour.fused_modulation and norm is not None and _is_plain_norm(norm):
        factor = b.unsqueeze(b.op("Add", scale, b.scalar(1.0, b.dtype(scale)), dims=b.dims(scale)), 1)
        epsilon = norm.attributes["epsilon"].as_float()
        inputs = norm.inputs[0], factor, b.unsqueeze(shift, 1)
        return b.op("LayerNormalization", *inputs, dims=b.dims(x), axis=-1, epsilon=epsilon)
    return _affine(b, x, shift, scale, 1)


def _is_plain_norm(node: ir.Node) -> bool:
    """A LayerNormalization over the last axis that scales by one and shifts by nothing."""
    if node.op_type != "LayerNormalization" or len(node.inputs) != 2 or node.attributes["axis"].as_int() != -1:
        return False
    scale = node.inputs[1]
    return (
        scale is not None and isinstance(scale.const_value, ir.Tensor) and bool((scale.const_value.numpy() == 1).all())
    )


def modulate_channels(b: Builder, x: ir.Value, shift: ir.Value, scale: ir.Value) -> ir.Value:
    """x: (N, C, *sizes); shift, scale: (N, C)."""
    return _affine(b, x, shift, scale, *range(2, len(b.dims(x))))


def _affine(b: Builder, x: ir.Value, shift: ir.Value, scale: ir.Value, *axes: int) -> ir.Value:
    factor = b.op("Add", scale, b.scalar(1.0, b.dtype(scale)), dims=b.dims(scale))
    y = b.op("Mul", x, b.unsqueeze(factor, *axes) if axes else factor, dims=b.dims(x))
    return b.op("Add", y, b.unsqueeze(shift, *axes) if axes else shift, dims=b.dims(x))


def upsample_nearest(b: Builder, x: ir.Value, factor: int) -> ir.Value:
    return _resize(b, x, factor, mode="nearest", nearest_mode="floor", coordinate_transformation_mode="asymmetric")


def upsample_bilinear(b: Builder, x: ir.Value, factor: int, align_corners: bool) -> ir.Value:
    where = "align_corners" if align_corners else "half_pixel"
    return _resize(b, x, factor, mode="linear", coordinate_transformation_mode=where)


def resize_like(b: Builder, x: ir.Value, like: ir.Value, mode: Literal["nearest", "bilinear"]) -> ir.Value:
    """Resize to given sizes; where they are a whole multiple, runtimes take the same path as for scales."""
    n, c, *_ = b.dims(x)
    dims = [n, c, *b.dims(like)[2:]]
    dtype = b.dtype(x)
    h = b.cast(x, torch.float32) if dtype == torch.bfloat16 else x  # as in _resize
    if mode == "nearest":
        where: dict[str, Any] = {"nearest_mode": "floor", "coordinate_transformation_mode": "asymmetric"}
    else:
        where = {"coordinate_transformation_mode": "half_pixel"}
    y = b.op("Resize", h, None, None, b.vector(dims), dims=dims, mode="linear" if mode == "bilinear" else mode, **where)
    return b.cast(y, dtype)


def upsample_module(b: Builder, m: nn.Upsample, x: ir.Value) -> ir.Value:
    """nn.Upsample by a whole factor."""
    factor = m.scale_factor
    if isinstance(factor, (int, float)) and factor == int(factor):
        if m.mode == "nearest":
            return upsample_nearest(b, x, int(factor))
        if m.mode == "bilinear":
            return upsample_bilinear(b, x, int(factor), bool(m.align_corners))
    raise ExportError(Diagnostic(code="NS506", message=f"Upsample({m.extra_repr()})"))


def _resize(b: Builder, x: ir.Value, factor: int, **attributes: Any) -> ir.Value:
    n, c, *sizes = b.dims(x)
    dtype = b.dtype(x)
    h = b.cast(x, torch.float32) if dtype == torch.bfloat16 else x  # bfloat16 Resize is missing or wrong in runtimes
    scales = b.constant(np.array([1.0, 1.0, *(factor for _ in sizes)]), torch.float32)
    y = b.op("Resize", h, None, scales, dims=[n, c, *(size * factor for size in sizes)], **attributes)
    return b.cast(y, dtype)


def blur(b: Builder, x: ir.Value, kernel: ir.Value, stride: int) -> ir.Value:
    """The kernel is repeated for each channel inside the graph: it is a few numbers, known when the graph is loaded."""
    channels, (k, _) = b.dims(x)[1], b.dims(kernel)
    assert isinstance(channels, int)  # a network's widths are numbers
    assert isinstance(k, int)
    weight = b.unsqueeze(b.cast(kernel, b.dtype(x)), 0, 1)  # (1, 1, k, k)
    weight = b.op("Expand", weight, b.ints(channels, 1, k, k), dims=[channels, 1, k, k])
    half = k // 2
    padded = shapes.pad(b, x, (half, half, half, half), mode="reflect") if half else x
    return convolve(b, padded, weight, None, stride=(stride, stride), pads=(0, 0, 0, 0), groups=channels)


def crop_like(b: Builder, x: ir.Value, like: ir.Value) -> ir.Value:
    """The margin before is the smaller half: (x - like) // 2."""
    for axis in (2, 3):
        size, wanted = b.dims(x)[axis], b.dims(like)[axis]
        x = shapes.narrow(b, x, axis, (size - wanted) // 2, wanted)
    return x


def pad_like(b: Builder, x: ir.Value, like: ir.Value) -> ir.Value:
    """The margin before is the smaller half, as in crop_like."""
    n, c, *sizes = b.dims(x)
    wanted = b.dims(like)[2:]
    margins = [want - size for want, size in zip(wanted, sizes, strict=True)]
    if not any(margins):
        return x
    before = [margin // 2 for margin in margins]
    after = [margin - half for margin, half in zip(margins, before, strict=True)]
    pads = b.vector([0, 0, *before, 0, 0, *after])
    return b.op("Pad", x, pads, b.scalar(0.0, b.dtype(x)), dims=[n, c, *wanted], mode="constant")


def to_tokens(b: Builder, x: ir.Value) -> ir.Value:
    n, c, *sizes = b.dims(x)
    return b.transpose(b.reshape(x, [n, c, product(sizes)]), 0, 2, 1)


def from_tokens(b: Builder, x: ir.Value, like: ir.Value) -> ir.Value:
    n, _, c = b.dims(x)
    return b.reshape(b.transpose(x, 0, 2, 1), [n, c, *b.dims(like)[2:]])


def unpatchify(b: Builder, x: ir.Value, like: ir.Value, patch_size: int) -> ir.Value:
    """Rows and columns of patches back in place, then DepthToSpace, whose DCR order is (p, p, C)."""
    n, _, depth = b.dims(x)
    p = patch_size
    rows, columns = (size // p for size in b.dims(like)[2:])
    grid = b.reshape(b.transpose(x, 0, 2, 1), [n, depth, rows, columns])
    if p == 1:
        return grid
    return b.op("DepthToSpace", grid, dims=[n, depth // (p * p), rows * p, columns * p], blocksize=p, mode="DCR")


def keep_tokens(b: Builder, x: ir.Value, like: ir.Value) -> ir.Value:
    return shapes.narrow(b, x, 1, 0, b.dims(like)[1])


def skip_tokens(b: Builder, x: ir.Value, like: ir.Value) -> ir.Value:
    skipped = b.dims(like)[1]
    return shapes.narrow(b, x, 1, skipped, b.dims(x)[1] - skipped)


def crop_positions(
    b: Builder, table: ir.Value, like: ir.Value, patch_size: int, crop: Literal["center", "corner"]
) -> ir.Value:
    _, *grid, channels = b.dims(table)
    covered = [size // patch_size for size in b.dims(like)[2:]]
    for axis, (have, want) in enumerate(zip(grid, covered, strict=True), start=1):
        start: Size = (have - want) // 2 if crop == "center" else 0
        table = shapes.narrow(b, table, axis, start, want)
    return b.reshape(table, [1, product(covered), channels])
