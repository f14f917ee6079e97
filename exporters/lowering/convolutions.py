"""Convolutions, pooling and pixel shuffles: torch.nn modules and their functional forms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import onnx_ir as ir
from torch import nn

from exporters.lowering import winograd
from exporters.lowering.builder import Builder
from exporters.lowering.channels_last import CONTRIB, KERNELS, TO_LAST, first, last
from exporters.lowering.dims import Size
from netspec.errors import Diagnostic, ExportError

Pair: TypeAlias = "int | Sequence[int]"


def conv2d(b: Builder, m: nn.Conv2d, x: ir.Value) -> ir.Value:
    if m.padding_mode != "zeros":
        raise ExportError(Diagnostic(code="NS506", message=f"Conv2d with padding_mode={m.padding_mode!r}"))
    if isinstance(m.padding, str):  # "same": the odd pixel at the end; "valid": none
        total = [(k - 1) * d if m.padding == "same" else 0 for k, d in zip(m.kernel_size, m.dilation, strict=True)]
        pads = [*(t // 2 for t in total), *(t - t // 2 for t in total)]
    else:
        pads = [*m.padding, *m.padding]
    weight, bias = b.parameter("weight"), b.parameter("bias") if m.bias is not None else None
    plain = b.flavour.conv == "winograd" and m.groups == 1 and tuple(m.dilation) == (1, 1)
    if plain and (tile := winograd.tile(b, x, weight, m.stride, pads)) is not None:
        return winograd.convolve(b, x, weight, bias, tile)
    if b.flavour.layout == "channels_last" and b.dtype(x) in KERNELS and not _is_padding(x):
        return _last(b, m, x, weight, bias, pads)
    return convolve(b, x, weight, bias, stride=m.stride, pads=pads, dilation=m.dilation, groups=m.groups)


def _is_padding(x: ir.Value) -> bool:
    """Whether a value is padded: a Conv takes that over, see peephole.py."""
    node = x.producer()
    return node is not None and node.op_type == "Pad"


def _last(
    b: Builder, m: nn.Conv2d, x: ir.Value, weight: ir.Value, bias: ir.Value | None, pads: Sequence[int]
) -> ir.Value:
    """NhwcConv, whose weight is (out, *kernel, in / groups)."""
    dims = _convolved(b, x, weight, m.stride, pads, m.dilation)
    inputs = [last(b, x), last(b, weight), *([bias] if bias is not None else [])]
    y = b.op(
        "NhwcConv",
        *inputs,
        dims=[dims[axis] for axis in TO_LAST],
        domain=CONTRIB,
        kernel_shape=list(m.kernel_size),
        strides=list(m.stride),
        pads=list(pads),
        dilations=list(m.dilation),
        group=m.groups,
    )
    return first(b, y)


def convolve(
    b: Builder,
    x: ir.Value,
    weight: ir.Value,
    bias: ir.Value | None,
    *,
    stride: Sequence[int],
    pads: Sequence[int],
    dilation: Sequence[int] = (1, 1),
    groups: int = 1,
) -> ir.Value:
    """Conv; pads are top, left, bottom, right."""
    return b.op(
        "Conv",
        x,
        weight,
        *([bias] if bias is not None else []),
        dims=_convolved(b, x, weight, stride, pads, dilation),
        kernel_shape=_kernel(b, weight),
        strides=list(stride),
        pads=list(pads),
        dilations=list(dilation),
        group=groups,
    )


def _convolved(
    b: Builder, x: ir.Value, weight: ir.Value, stride: Sequence[int], pads: Sequence[int], dilation: Sequence[int]
) -> list[Size]:
    """The sizes of a convolution's output."""
    n, _, *sizes = b.dims(x)
    reach = [d * (k - 1) for d, k in zip(dilation, _kernel(b, weight), strict=True)]
    new = [(size + pads[i] + pads[i + 2] - reach[i] - 1) // stride[i] + 1 for i, size in enumerate(sizes)]
    return [n, b.dims(weight)[0], *new]


def _kernel(b: Builder, weight: ir.Value) -> list[int]:
    return [int(size) for size in b.dims(weight)[2:]]  # type: ignore[arg-type]  # a weight's sizes are numbers


def conv_transpose2d(b: Builder, m: nn.ConvTranspose2d, x: ir.Value) -> ir.Value:
    weight, bias = b.parameter("weight"), b.parameter("bias") if m.bias is not None else None
    padding = [int(p) for p in m.padding]
    return conv_transpose(b, x, weight, bias, m.stride, padding, m.output_padding, m.groups, m.dilation)


def conv_transpose(
    b: Builder,
    x: ir.Value,
    weight: ir.Value,
    bias: ir.Value | None = None,
    stride: Pair = 1,
    padding: Pair = 0,
    output_padding: Pair = 0,
    groups: int = 1,
    dilation: Pair = 1,
) -> ir.Value:
    """F.conv_transpose2d, whose weight is (in, out / groups, *kernel)."""
    n, _, *sizes = b.dims(x)
    _, out, *kernel = (int(size) for size in b.dims(weight))  # type: ignore[arg-type]  # a weight's sizes are numbers
    s, p, extra, d = _pair(stride), _pair(padding), _pair(output_padding), _pair(dilation)
    new = [(size - 1) * s[i] - 2 * p[i] + d[i] * (kernel[i] - 1) + extra[i] + 1 for i, size in enumerate(sizes)]
    return b.op(
        "ConvTranspose",
        x,
        weight,
        *([bias] if bias is not None else []),
        dims=[n, out * groups, *new],
        kernel_shape=kernel,
        strides=s,
        pads=[*p, *p],
        output_padding=extra,
        dilations=d,
        group=groups,
    )


def avg_pool2d(
    b: Builder,
    x: ir.Value,
    kernel_size: Pair,
    stride: Pair | None = None,
    padding: Pair = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> ir.Value:
    if ceil_mode or divisor_override is not None:
        raise ExportError(Diagnostic(code="NS506", message="average pooling with ceil_mode or divisor_override"))
    return _pool(b, "AveragePool", x, kernel_size, stride, padding, count_include_pad=int(count_include_pad))


def max_pool2d(
    b: Builder,
    x: ir.Value,
    kernel_size: Pair,
    stride: Pair | None = None,
    padding: Pair = 0,
    dilation: Pair = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> ir.Value:
    if ceil_mode or return_indices or tuple(_pair(dilation)) != (1, 1):
        raise ExportError(Diagnostic(code="NS506", message="max pooling with ceil_mode, return_indices or dilation"))
    return _pool(b, "MaxPool", x, kernel_size, stride, padding)


def avg_pool_module(b: Builder, m: nn.AvgPool2d, x: ir.Value) -> ir.Value:
    return avg_pool2d(b, x, m.kernel_size, m.stride, m.padding, m.ceil_mode, m.count_include_pad, m.divisor_override)


def max_pool_module(b: Builder, m: nn.MaxPool2d, x: ir.Value) -> ir.Value:
    return max_pool2d(b, x, m.kernel_size, m.stride, m.padding, m.dilation, m.ceil_mode, m.return_indices)


def pixel_shuffle(b: Builder, x: ir.Value, upscale_factor: int) -> ir.Value:
    """(N, C * r * r, H, W) to (N, C, r * H, r * W); channels slowest, which ONNX calls CRD."""
    n, c, h, w = b.dims(x)
    r = upscale_factor
    return b.op("DepthToSpace", x, dims=[n, c // (r * r), h * r, w * r], blocksize=r, mode="CRD")


def pixel_unshuffle(b: Builder, x: ir.Value, downscale_factor: int) -> ir.Value:
    """(N, C, r * H, r * W) to (N, C * r * r, H, W). SpaceToDepth orders channels otherwise, so by hand."""
    n, c, h, w = b.dims(x)
    r = downscale_factor
    split = b.reshape(x, [n, c, h // r, r, w // r, r])
    return b.reshape(b.transpose(split, 0, 1, 3, 5, 2, 4), [n, c * r * r, h // r, w // r])


def pixel_shuffle_module(b: Builder, m: nn.PixelShuffle, x: ir.Value) -> ir.Value:
    return pixel_shuffle(b, x, m.upscale_factor)


def pixel_unshuffle_module(b: Builder, m: nn.PixelUnshuffle, x: ir.Value) -> ir.Value:
    return pixel_unshuffle(b, x, m.downscale_factor)


def _pool(
    b: Builder, op_type: str, x: ir.Value, kernel: Pair, stride: Pair | None, padding: Pair, **attributes: Any
) -> ir.Value:
    n, c, *sizes = b.dims(x)
    k, p = _pair(kernel), _pair(padding)
    s = _pair(stride) if stride else k
    new: list[Size] = [(size + 2 * p[i] - k[i]) // s[i] + 1 for i, size in enumerate(sizes)]
    return b.op(op_type, x, dims=[n, c, *new], kernel_shape=k, strides=s, pads=[*p, *p], **attributes)


def _pair(value: Pair) -> list[int]:
    return [value, value] if isinstance(value, int) else [int(v) for v in value]
