"""Weights as initializers: by reference into a file beside the graph, or, where no file holds them, written inline."""

from __future__ import annotations

from collections.abc import Mapping

import onnx_ir as ir
from torch import Tensor

from exporters.lowering.dtypes import DTYPES, inline
from netspec.errors import Diagnostic, ExportError
from netspec.target import Slot


class Weights:
    """Makes each parameter's and buffer's value on first use, so what nothing reads is not in the graph."""

    def __init__(self, tensors: Mapping[str, Tensor], slots: Mapping[str, Slot]) -> None:
        self._tensors = tensors
        self._slots = slots
        self._values: dict[str, tuple[ir.Value, Tensor]] = {}

    def value(self, key: str) -> tuple[ir.Value, Tensor]:
        """The initializer named `key` and the (perhaps meta) tensor it stands for."""
        if key not in self._values:
            tensor = self._tensors[key].detach()
            const = _by_reference(key, tensor, self._slots[key]) if key in self._slots else _inline(key, tensor)
            self._values[key] = ir.Value(name=key, const_value=const), tensor
        return self._values[key]


def _by_reference(key: str, tensor: Tensor, slot: Slot) -> ir.TensorProtocol:
    expected = tensor.numel() * tensor.element_size()
    if slot.length != expected:
        raise ExportError(
            Diagnostic(
                code="NS504",
                message=f"the weights file has {slot.length} bytes for {key}, the network needs {expected}",
                notes=(f"{tuple(tensor.shape)} of {tensor.dtype}",),
            )
        )
    shape = ir.Shape(tensor.shape)
    return ir.ExternalTensor(slot.location, slot.offset, slot.length, DTYPES[tensor.dtype], shape=shape, name=key)


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
