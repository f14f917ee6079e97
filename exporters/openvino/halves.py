"""halved(): weights in half precision, each widened where it is read, which is how an IR has them.

What a machine then computes in is its own choice; a float16 device reads them as they are.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import openvino as ov
import torch
from openvino import opset13 as ops

from netspec.target import ExportRequest

_TYPES = {torch.float16: ov.Type.f16, torch.bfloat16: ov.Type.bf16}


@contextmanager
def halved(model: ov.Model, request: ExportRequest, folder: Path) -> Iterator[None]:
    """Replace the model's weights by halves as the request's precision has them, as long as this lasts.

    They are written to a scratch file in `folder` one by one and mapped from there, so memory holds one.
    """
    found = [(node, dtype) for node in model.get_ordered_ops() if (dtype := _half(node, request)) is not None]
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".halves-") as scratch:
        for node, dtype in found:
            with torch.no_grad():
                half = torch.from_numpy(np.array(node.data)).to(dtype)
            scratch.write(half.view(torch.int16).numpy().tobytes())
        scratch.flush()
        start, held = 0, []
        for node, dtype in found:
            shape = tuple(node.get_output_shape(0))
            bits = np.memmap(scratch.name, np.uint16, "r", offset=start, shape=shape)
            start += bits.nbytes
            tensor = ov.Tensor(bits, ov.Shape(list(shape)), _TYPES[dtype])
            held.append((bits, tensor))  # OpenVINO holds on to neither
            stored = ops.constant(tensor, shared_memory=True)
            widened = ops.convert(stored, "f32")
            stored.friendly_name = node.friendly_name
            widened.friendly_name = f"{node.friendly_name}/float32"
            node.output(0).replace(widened.output(0))
        yield


def _half(node: ov.Node, request: ExportRequest) -> torch.dtype | None:
    """The type that a constant of weights is stored in, where that is a half."""
    if node.get_type_name() != "Constant" or node.get_element_type() != ov.Type.f32 or request.precision is None:
        return None
    name = node.friendly_name
    tensor = request.tensors().get(name)
    if tensor is not None:
        dtype = request.precision.stored(name, tensor)
    elif "/" in name:  # what was computed from weights: called as the part that reads it
        dtype = request.precision.float_at(name.replace("/", "."))
    else:
        return None
    return dtype if dtype in _TYPES else None
