"""3x3 convolutions with fewer multiplications, in standard operators.

A tile of m x m outputs needs (m + 2)^2 products for each pair of channels where the definition needs 9 m^2: a quarter
for m = 4, less than half for m = 2 (Lavin & Gray 2015, arXiv:1509.09308, Sec. 4). A fixed convolution transforms the
image, one matrix product for each of the (m + 2)^2 places takes channels to channels, a fixed matrix transforms back.
The weights are transformed in the graph: they are constants, so a runtime does it once, while it loads the file.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from functools import cache
from math import prod

import numpy as np
import onnx_ir as ir
import torch

from exporters.lowering.builder import Builder
from exporters.lowering.dims import Size, exact_div

KERNEL = 3
# Where polynomials are evaluated, besides infinity. For m = 4 these lose half as many digits as the customary
# 0, ±1, ±2 (see Barabasz et al. 2018, arXiv:1803.10986), and they are exact in binary.
_POINTS = {4: (0, Fraction(3, 4), Fraction(-3, 4), Fraction(3, 2), Fraction(-3, 2)), 2: (0, 1, -1)}
_CHANNELS = 96  # below, transforming the image costs more than the products save
_COLUMNS = 16  # fewer tiles make products so narrow that reading the (m + 2)^2 / 9 times larger weights decides


def tile(b: Builder, x: ir.Value, weight: ir.Value, stride: Sequence[int], pads: Sequence[int]) -> int | None:
    """The side m of the tiles for a convolution without groups or dilation, None where it is better as it is.

    The image must be whole tiles at every size that it may have, and enough of them at the usual one.
    """
    (n, channels, *sizes), (out, _, *kernel) = b.dims(x), b.dims(weight)
    assert isinstance(channels, int)  # a network's widths are numbers
    assert isinstance(out, int)
    if kernel != [KERNEL, KERNEL] or [*stride, *pads] != [1] * 6 or {b.dtype(x), b.dtype(weight)} != {torch.float32}:
        return None
    if min(channels, out) < _CHANNELS:
        return None
    for m in _POINTS:
        grid = [exact_div(size, m) for size in sizes]
        if None not in grid and _many(b, [n, *(size for size in grid if size is not None)]):
            return m
    return None


def _many(b: Builder, sizes: Sequence[Size]) -> bool:
    """Whether there are enough tiles; a size that nobody knows is taken for large."""
    known = [b.usual(size) for size in sizes]
    return None in known or prod(size for size in known if size is not None) >= _COLUMNS


def convolve(b: Builder, x: ir.Value, weight: ir.Value, bias: ir.Value | None, m: int) -> ir.Value:
    """A 3x3 convolution with padding 1 by tiles of m x m outputs."""
    n, channels, height, width = b.dims(x)
    out = b.dims(weight)[0]
    inputs, filters, outputs = (np.kron(matrix, matrix) for matrix in transforms(m))
    places, side = len(inputs), m + KERNEL - 1
    rows, columns = height // m, width // m

    kernels = b.constant(inputs.reshape(places, 1, side, side), torch.float32)
    flat = b.reshape(x, [n * channels, 1, height, width])
    seen = b.op(
        "Conv", flat, kernels,
        dims=[n * channels, places, rows, columns], kernel_shape=[side, side], strides=[m, m], pads=[1, 1, 1, 1],
    )  # fmt: skip
    if n == 1:  # a product can read this without moving it
        seen = b.transpose(b.reshape(seen, [channels, places, rows * columns]), 1, 0, 2)
    else:
        seen = b.transpose(b.reshape(seen, [n, channels, places, rows * columns]), 2, 1, 0, 3)
        seen = b.reshape(seen, [places, channels, n * rows * columns])

    flat_weight = b.reshape(weight, [out * channels, KERNEL * KERNEL])
    factors = b.op(
        "Gemm", b.constant(filters, torch.float32), flat_weight, dims=[places, out * channels], transB=1
    )  # (places, K * C)
    factors = b.reshape(factors, [places, out, channels])
    products = b.op("MatMul", factors, seen, dims=[places, out, n * rows * columns])

    flat = b.reshape(products, [places, out * n * rows * columns])
    y = b.op("MatMul", b.constant(outputs, torch.float32), flat, dims=[m * m, out * n * rows * columns])
    y = b.reshape(y, [1, m * m * out * n, rows, columns])
    y = b.op("DepthToSpace", y, dims=[1, out * n, height, width], blocksize=m, mode="DCR")
    if n != 1:
        y = b.transpose(b.reshape(y, [out, n, height, width]), 1, 0, 2, 3)
    return y if bias is None else b.op("Add", y, b.unsqueeze(bias, 1, 2), dims=b.dims(y))


@cache
def transforms(m: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of a row of inputs, of filters and of products: (m + 2, m + 2), (m + 2, 3), (m, m + 2).

    Transposing the multiplication of two polynomials of degrees m - 1 and 2, which is done at m + 1 points and at
    infinity, gives a filter: Lagrange's interpolation becomes the transform of the inputs.
    """
    points = [Fraction(point) for point in _POINTS[m]]
    inputs, filters = [], []
    for point in points:
        others = [other for other in points if other != point]
        inputs.append([*_polynomial(others), Fraction(0)])
        scale = prod((point - other for other in others), start=Fraction(1))
        filters.append([point**power / scale for power in range(KERNEL)])
    inputs.append(_polynomial(points))
    filters.append([Fraction(0), Fraction(0), Fraction(1)])
    outputs = [[*(point**power for point in points), Fraction(int(power == m - 1))] for power in range(m)]
    return tuple(np.array(matrix, dtype=np.float64) for matrix in (inputs, filters, outputs))  # type: ignore[return-value]  # three of them


def _polynomial(roots: Sequence[Fraction]) -> list[Fraction]:
    """Coefficients, lowest first, of the product of (x - root)."""
    found = [Fraction(1)]
    for root in roots:
        found = [high - root * low for low, high in zip([*found, Fraction(0)], [Fraction(0), *found], strict=True)]
    return found
