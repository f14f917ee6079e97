"""pack(): the weights that a graph refers to, beside it, in the types that it computes in."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch

from exporters.lowering.weights import Slot
from netspec.target import ExportRequest
from netspec.weights.aligned import (
    AlignedLayout,
    AlignedWriter,
    TensorInfo,
    dtype_name,
    load_tensors,
    read_layout,
    torch_dtype,
)
from netspec.weights.files import copy_file

FILE = "model.safetensors"  # the network's own at the top of a bundle, a target's own in its folder


def pack(request: ExportRequest, folder: Path) -> dict[str, Slot]:
    """Write the target's weights from the network's, tensor by tensor, and say where each lies.

    Nothing is written where the graph shares the network's own file, or where there are no weights: the places follow
    from the network alone.
    """
    if request.shared is not None:
        return slots_of(request.shared)
    layout = layout_of(request)
    if request.source is not None:
        _write(layout, request.source, folder / FILE)
    return slots_of(layout)


def layout_of(request: ExportRequest) -> AlignedLayout:
    """Where each tensor of a target's own file lies."""
    infos = [
        TensorInfo(key, dtype_name(request.stored(key, tensor)), tuple(tensor.shape))
        for key, tensor in request.model.state_dict().items()
    ]
    return AlignedLayout.plan(infos, {**request.metadata, "format": "pt"})


def _write(layout: AlignedLayout, source: Path, path: Path) -> None:
    if read_layout(source).header == layout.header:
        copy_file(source, path)
        return
    wanted = layout.infos
    with AlignedWriter(path, layout) as writer, torch.no_grad():
        for key, tensor in load_tensors(source):
            if key in wanted:
                writer.write(key, tensor.to(torch_dtype(wanted[key])))


def slots_of(layout: AlignedLayout, location: str = FILE) -> dict[str, Slot]:
    """The places of a file's tensors, as a graph beside it names them."""
    places: Mapping[str, tuple[int, int]] = layout.places
    return {key: Slot(location, offset, length) for key, (offset, length) in places.items()}
