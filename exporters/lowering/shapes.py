"""Operations that move or regroup numbers and compute none: functions, tensor methods and subscripts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import onnx_ir as ir
import torch
from torch import nn

from exporters.lowering.builder import Builder
from exporters.lowering.dims import Size, broadcast, exact_div, merged, product
from netspec.errors import Diagnostic, ExportError

Index: TypeAlias = Any  # an int, slice, None or Ellipsis, or a tuple of them


def cat(b: Builder, tensors: Sequence[ir.Value], dim: int = 0) -> ir.Value:
    first = list(b.dims(tensors[0]))
    axis = dim % len(first)
    dtype = b.dtype(tensors[0])
    for tensor in tensors[1:]:
        dtype = torch.promote_types(dtype, b.dtype(tensor))
        for i, size in enumerate(b.dims(tensor)):
            first[i] = first[i] + size if i == axis else merged(first[i], size)
    return b.op("Concat", *(b.cast(tensor, dtype) for tensor in tensors), dims=first, axis=axis)


def chunk(b: Builder, x: ir.Value, chunks: int, dim: int = 0) -> list[ir.Value]:
    size = _number(b.dims(x)[dim], "chunk")
    return split(b, x, -(-size // chunks), dim)


def split(b: Builder, x: ir.Value, split_size: int | Sequence[int], dim: int = 0) -> list[ir.Value]:
    dims, axis = b.dims(x), dim % len(b.dims(x))
    if isinstance(split_size, int):
        total = _number(dims[axis], "split")
        parts = [min(split_size, total - start) for start in range(0, total, split_size)]
    else:
        parts = list(split_size)
    new = [[*dims[:axis], part, *dims[axis + 1 :]] for part in parts]
    return b.split_op("Split", x, b.ints(*parts), dims=new, axis=axis)


def getitem(b: Builder, x: Any, index: Index) -> Any:
    """A part of a tuple or a shape, or a tensor's subscript: integers, steps of one, None and Ellipsis."""
    if not isinstance(x, ir.Value):
        return x[index]
    wanted = list(index) if isinstance(index, tuple) else [index]
    rank = len(b.dims(x))
    if Ellipsis in wanted:
        at = wanted.index(Ellipsis)
        taken = sum(item is not None for item in wanted) - 1
        wanted[at : at + 1] = [slice(None)] * (rank - taken)
    squeezed: list[int] = []
    added: list[int] = []
    axis = 0
    for item in wanted:
        match item:
            case None:
                added.append(axis - len(squeezed) + len(added))
                continue
            case int():
                end = item + 1 if item != -1 else None
                x = _slice(b, x, axis, slice(item, end))
                squeezed.append(axis)
            case slice():
                x = _slice(b, x, axis, item)
            case _:
                raise ExportError(Diagnostic(code="NS506", message=f"a subscript of type {type(item).__name__}"))
        axis += 1
    if squeezed:
        x = squeeze(b, x, tuple(squeezed))
    return b.unsqueeze(x, *added) if added else x


def narrow(b: Builder, x: ir.Value, axis: int, start: Size, length: Size) -> ir.Value:
    """`length` elements from `start` along one axis; both may be sizes known only at run time."""
    dims = list(b.dims(x))
    if dims[axis] == length:
        return x
    dims[axis] = length
    return b.op("Slice", x, b.vector([start]), b.vector([start + length]), b.ints(axis), dims=dims)


def _slice(b: Builder, x: ir.Value, axis: int, item: slice) -> ir.Value:
    if item == slice(None):
        return x
    if item.step not in (None, 1):
        raise ExportError(Diagnostic(code="NS506", message=f"a subscript with step {item.step}"))
    size = b.dims(x)[axis]
    start, stop = (0 if item.start is None else item.start), (size if item.stop is None else item.stop)
    start, stop = (size + end if isinstance(end, int) and end < 0 else end for end in (start, stop))
    if isinstance(size, int) and isinstance(stop, int):
        stop = min(stop, size)
    return narrow(b, x, axis, start, stop - start)


def reshape(b: Builder, x: ir.Value, *shape: Any) -> ir.Value:
    sizes = shape[0] if len(shape) == 1 and isinstance(shape[0], (tuple, list)) else shape
    return b.reshape(x, b.infer(x, sizes))


def flatten(b: Builder, x: ir.Value, start_dim: int = 0, end_dim: int = -1) -> ir.Value:
    dims = b.dims(x)
    start, end = start_dim % len(dims), end_dim % len(dims)
    return b.reshape(x, [*dims[:start], product(dims[start : end + 1]), *dims[end + 1 :]])


def unflatten(b: Builder, x: ir.Value, dim: int, sizes: Sequence[Size]) -> ir.Value:
    """The axis alone says what a -1 stands for, however the other sizes vary."""
    dims = b.dims(x)
    axis = dim % len(dims)
    known = product(size for size in sizes if size != -1)
    rest = exact_div(dims[axis], known)
    if rest is None:
        raise ExportError(Diagnostic(code="NS503", message=f"cannot split {dims[axis]} into parts of {known}"))
    return b.reshape(x, [*dims[:axis], *(rest if size == -1 else size for size in sizes), *dims[axis + 1 :]])


def transpose(b: Builder, x: ir.Value, dim0: int, dim1: int) -> ir.Value:
    perm = list(range(len(b.dims(x))))
    perm[dim0], perm[dim1] = perm[dim1], perm[dim0]
    return b.transpose(x, *perm)


def permute(b: Builder, x: ir.Value, *axes: Any) -> ir.Value:
    perm = axes[0] if isinstance(axes[0], (tuple, list)) else axes
    return b.transpose(x, *(axis % len(perm) for axis in perm))


def movedim(b: Builder, x: ir.Value, source: int, destination: int) -> ir.Value:
    """One axis taken out and put in elsewhere."""
    rank = len(b.dims(x))
    order = [axis for axis in range(rank) if axis != source % rank]
    order.insert(destination % rank, source % rank)
    return b.transpose(x, *order)


def unsqueeze(b: Builder, x: ir.Value, dim: int) -> ir.Value:
    return b.unsqueeze(x, dim % (len(b.dims(x)) + 1))


def squeeze(b: Builder, x: ir.Value, dim: int | tuple[int, ...]) -> ir.Value:
    rank = len(b.dims(x))
    axes = sorted(axis % rank for axis in ((dim,) if isinstance(dim, int) else dim))
    dims = [size for axis, size in enumerate(b.dims(x)) if axis not in axes]
    return b.op("Squeeze", x, b.ints(*axes), dims=dims)


def expand(b: Builder, x: ir.Value, *shape: Any) -> ir.Value:
    sizes = shape[0] if len(shape) == 1 and isinstance(shape[0], (tuple, list)) else shape
    old = (1,) * (len(sizes) - len(b.dims(x))) + b.dims(x)
    wanted = [before if size == -1 else size for before, size in zip(old, sizes, strict=True)]
    return b.op("Expand", x, b.vector(wanted), dims=broadcast(old, tuple(wanted)))


def counted(b: Builder, stop: Size, dtype: torch.dtype) -> ir.Value:
    """0, 1 … stop - 1, counted as integers: Range has no halves."""
    end = squeeze(b, b.size(stop), 0)
    return b.cast(b.op("Range", b.scalar(0, torch.int64), end, b.scalar(1, torch.int64), dims=[stop]), dtype)


def pad(b: Builder, x: ir.Value, pad: Sequence[Size], mode: str = "constant", value: float | None = None) -> ir.Value:
    """F.pad: pairs from the last axis backwards. Before a convolution, zeros become its own (peephole.py)."""
    dims = list(b.dims(x))
    before: list[Size] = [0] * len(dims)
    after: list[Size] = [0] * len(dims)
    for i in range(0, len(pad), 2):
        axis = len(dims) - 1 - i // 2
        before[axis], after[axis] = pad[i], pad[i + 1]
        dims[axis] = dims[axis] + pad[i] + pad[i + 1]
    modes = {"constant": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}
    fill = [b.scalar(value or 0.0, b.dtype(x))] if mode == "constant" else []
    return b.op("Pad", x, b.vector([*before, *after]), *fill, dims=dims, mode=modes[mode])


def pad_module(b: Builder, m: nn.ZeroPad2d, x: ir.Value) -> ir.Value:
    return pad(b, x, m.padding)


def flatten_module(b: Builder, m: nn.Flatten, x: ir.Value) -> ir.Value:
    return flatten(b, x, m.start_dim, m.end_dim)


def attribute(b: Builder, x: Any, name: str) -> Any:
    """`x.shape`, `x.dtype`, `x.device`, `x.ndim` of a traced tensor."""
    match name:
        case "shape":
            return b.dims(x)
        case "dtype":
            return b.dtype(x)
        case "ndim":
            return len(b.dims(x))
        case "device":
            return None
    raise ExportError(Diagnostic(code="NS501", message=f"no lowering for the tensor attribute {name!r}"))


def size(b: Builder, x: ir.Value, dim: int | None = None) -> Any:
    return b.dims(x) if dim is None else b.dims(x)[dim]


def to(b: Builder, x: ir.Value, *args: Any, dtype: torch.dtype | None = None, **_: Any) -> ir.Value:
    """`x.to(dtype)`, `x.to(other)`, `x.to(device)`: only the type matters to a graph."""
    for arg in args:
        if isinstance(arg, torch.dtype):
            dtype = arg
        elif isinstance(arg, ir.Value):
            dtype = b.dtype(arg)
    return x if dtype is None else b.cast(x, dtype)


def type_as(b: Builder, x: ir.Value, other: ir.Value) -> ir.Value:
    return b.cast(x, b.dtype(other))


def cast_to(dtype: torch.dtype) -> Any:
    """The lowering of `x.float()`, `x.half()` …"""

    def lower(b: Builder, x: ir.Value) -> ir.Value:
        return b.cast(x, dtype)

    return lower


def _number(size: Size, what: str) -> int:
    if isinstance(size, int):
        return size
    raise ExportError(Diagnostic(code="NS503", message=f"{what} along {size}, which varies at run time"))
