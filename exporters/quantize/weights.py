"""The weights of a quantised graph: layer by layer from the network's file into the target's own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from exporters.lowering import Slot
from exporters.lowering.packing import FILE, slots_of
from exporters.quantize import numbers
from exporters.quantize.layers import Layer
from exporters.quantize.scheme import Scheme
from netspec.target import ExportRequest
from netspec.weights.aligned import (
    AlignedLayout,
    AlignedWriter,
    TensorInfo,
    dtype_name,
    load_tensor,
    load_tensors,
    read_layout,
    torch_dtype,
)

BIAS_ROOM = 2**30  # a whole bias and the sum that it is added to share 32 bits


@dataclass(frozen=True)
class Packed:
    """The file of weights.

    slots, infos: every tensor. noise: the share of its output that each layer loses, predicted; weight_noise: the share
    of its energy that each weight has lost.
    """

    slots: Mapping[str, Slot]
    infos: Mapping[str, TensorInfo]
    noise: dict[str, float] = field(default_factory=dict)
    weight_noise: dict[str, float] = field(default_factory=dict)


def pack(request: ExportRequest, folder: Path, layers: Mapping[str, Layer], scheme: Scheme) -> Packed:
    """Write `folder / FILE`. A quantised layer has `weight` in few bits, `weight_scale`, and where its bias is whole
    numbers, `bias_scale`; all else is in the types that the request gives it. At most two layers are in memory."""
    source = request.source
    assert source is not None  # NS511 has been told
    present = read_layout(source)
    layout = AlignedLayout.plan(_infos(request, layers, scheme), {**request.metadata, "format": "pt"})
    packed = Packed(slots_of(layout), layout.infos)
    with AlignedWriter(folder / FILE, layout) as writer, torch.no_grad():
        for key, tensor in load_tensors(source):
            path, _, leaf = key.rpartition(".")
            layer = layers.get(path)
            if layer is not None and leaf == "weight":
                bias = f"{path}.bias"
                info = present.infos.get(bias)
                b = None if info is None else load_tensor(source, info, present.offset(bias))
                for name, data in _layer(layer, scheme, tensor, b, packed):
                    writer.write(name, data.to(torch_dtype(layout.infos[name])).reshape(layout.infos[name].shape))
            elif key in layout.infos and not (layer is not None and leaf == "bias" and scheme.whole_bias):
                writer.write(key, tensor.to(torch_dtype(layout.infos[key])))
    return packed


def _infos(request: ExportRequest, layers: Mapping[str, Layer], scheme: Scheme) -> Iterator[TensorInfo]:
    """What the file will hold, in the network's order."""
    for key, tensor in request.model.state_dict().items():
        path, _, leaf = key.rpartition(".")
        layer, shape = layers.get(path), tuple(tensor.shape)
        if layer is not None and leaf == "weight":
            yield from _weight_infos(key, layer, scheme, shape)
        elif layer is not None and leaf == "bias" and scheme.whole_bias:
            yield TensorInfo(key, "I32", shape)
            yield TensorInfo(f"{key}_scale", dtype_name(layer.base), shape)
        else:
            yield TensorInfo(key, dtype_name(request.stored(key, tensor)), shape)


def _weight_infos(key: str, layer: Layer, scheme: Scheme, shape: tuple[int, ...]) -> Iterator[TensorInfo]:
    scale = f"{key}_scale", dtype_name(layer.base)
    match scheme.weights:
        case "int8":
            yield TensorInfo(key, "I8", shape)
            yield TensorInfo(*scale, (shape[0],))
        case "float8":
            yield TensorInfo(key, "F8_E4M3", shape)
            yield TensorInfo(*scale, ())
        case "blocks":
            rows, width = shape
            count = width // layer.block
            yield TensorInfo(key, "U8", (rows, count, layer.block * layer.bits // 8))
            yield TensorInfo(*scale, (rows, count))


def _layer(
    layer: Layer, scheme: Scheme, weight: Tensor, bias: Tensor | None, packed: Packed
) -> Iterator[tuple[str, Tensor]]:
    """The tensors of one layer."""
    key, path = f"{layer.path}.weight", layer.path
    step = layer.read.scale if layer.read is not None else 1.0
    match scheme.weights:
        case "int8":
            room = None if bias is None or not scheme.whole_bias else bias.float().abs() / (step * BIAS_ROOM)
            made = numbers.per_channel(weight, layer.base, room)
            data = made.data
        case "float8":
            made = numbers.float8(weight, layer.base)
            data = made.data
        case "blocks":
            made = numbers.blocks(weight, layer.base, layer.bits, layer.block)
            data = numbers.stored(made.data, layer.bits, signed=not scheme.operator)
    packed.noise[path] = layer.noise(weight.float(), made.back)
    packed.weight_noise[path] = _share(weight.float() - made.back, weight.float())
    yield key, data
    yield f"{key}_scale", made.scale
    if bias is not None and scheme.whole_bias:
        scale = (made.scale * step).float()
        yield f"{path}.bias", (bias.double() / scale.double()).round().to(torch.int32)
        yield f"{path}.bias_scale", scale


def _share(lost: Tensor, whole: Tensor) -> float:
    energy = float(whole.square().sum())
    return float(lost.square().sum()) / energy if energy else 0.0
