"""Weights as initializers: by reference into a file beside the graph, or, where no file holds them, written inline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import onnx_ir as ir
import torch
from torch import Tensor

from exporters.lowering.dtypes import DTYPES, inline
from netspec.errors import Diagnostic, ExportError
from netspec.precision import PrecisionPlan


@dataclass(frozen=True, slots=True)
class Slot:
    """Where the bytes of one tensor lie: a file beside the graph, and a stretch of it."""

    location: str
    offset: int
    length: int


class Weights:
    """Makes each parameter's and buffer's value on first use, so what nothing reads is not in the graph.

    `slots` says where they lie, in the types that `precision` stores them in; what is missing there is written inline.
    """

    def __init__(
        self, tensors: Mapping[str, Tensor], slots: Mapping[str, Slot], precision: PrecisionPlan | None = None
    ) -> None:
        self._tensors = tensors
        self._slots = slots
        self._precision = precision
        self._values: dict[tuple[str, tuple[int, ...]], tuple[ir.Value, torch.dtype]] = {}

    def value(self, key: str, shape: Sequence[int] = ()) -> tuple[ir.Value, tuple[int, ...], torch.dtype]:
        """The initializer named `key`, its shape and its type. In a second `shape` it is another one with the same
        bytes, which the shape tells apart."""
        tensor = self._tensors[key].detach()
        tensor = tensor.reshape(shape) if shape else tensor
        form = key, tuple(tensor.shape)
        if form not in self._values:
            dtype = tensor.dtype if self._precision is None else self._precision.stored(key, tensor)
            slot = self._slots.get(key)
            taken = any(key == other for other, _ in self._values)
            name = f"{key}[{','.join(map(str, tensor.shape))}]" if taken else key
            const = _inline(name, tensor.to(dtype)) if slot is None else _by_reference(name, tensor, dtype, slot)
            self._values[form] = ir.Value(name=name, const_value=const), dtype
        value, dtype = self._values[form]
        return value, form[1], dtype


def _by_reference(key: str, tensor: Tensor, dtype: torch.dtype, slot: Slot) -> ir.TensorProtocol:
    expected = tensor.numel() * dtype.itemsize
    if slot.length != expected:
        raise ExportError(
            Diagnostic(
                code="NS504",
                message=f"the weights file has {slot.length} bytes for {key}, the network needs {expected}",
                notes=(f"{tuple(tensor.shape)} of {dtype}",),
            )
        )
    shape = ir.Shape(tensor.shape)
    return ir.ExternalTensor(slot.location, slot.offset, slot.length, DTYPES[dtype], shape=shape, name=key)


def _inline(key: str, tensor: Tensor) -> ir.TensorProtocol:
    if tensor.is_meta:
        raise ExportError(
            Diagnostic(
                code="NS504",
                message=f"{key} has no values: it is not in the weights file and lies on the meta device",
                help=("give non-persistent buffers their values before exporting",),
            )
        )
    return inline(tensor, key)
