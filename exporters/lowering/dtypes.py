"""Element types of PyTorch and ONNX, and the one place where numbers are written into a graph."""

from __future__ import annotations

from collections.abc import Mapping

import onnx_ir as ir
import torch
from torch import Tensor

DTYPES: Mapping[torch.dtype, ir.DataType] = {
    torch.float64: ir.DataType.DOUBLE,
    torch.float32: ir.DataType.FLOAT,
    torch.float16: ir.DataType.FLOAT16,
    torch.bfloat16: ir.DataType.BFLOAT16,
    torch.int64: ir.DataType.INT64,
    torch.int32: ir.DataType.INT32,
    torch.int8: ir.DataType.INT8,
    torch.uint8: ir.DataType.UINT8,
    torch.bool: ir.DataType.BOOL,
}
FLOATS = frozenset({torch.float64, torch.float32, torch.float16, torch.bfloat16})
HALVES = frozenset({torch.float16, torch.bfloat16})


def inline(tensor: Tensor, name: str) -> ir.TensorProtocol:
    """The numbers of a real tensor, to be stored in the graph itself."""
    tensor = tensor.detach().contiguous().cpu()
    if tensor.dtype == torch.bfloat16:  # NumPy has no bfloat16; the bits travel as uint16
        return ir.Tensor(tensor.view(torch.uint16).numpy(), dtype=ir.DataType.BFLOAT16, name=name)
    return ir.tensor(tensor.numpy(), name=name)


def number_bytes(tensor: Tensor) -> bytes:
    """The bits of a tensor, whatever its type: equal bits are one constant."""
    return tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
