"""From our ONNX to an OpenVINO model: whole operators, our names, sizes with their bounds, the spec as `rt_info`."""

from __future__ import annotations

import os
import re
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import onnx_ir as ir
import openvino as ov

from exporters.lowering import OPENVINO, Flavour, emit
from exporters.lowering.packing import slots_of
from exporters.openvino import upsampling
from exporters.quantize.calibration import in_float32
from netspec.errors import Diagnostic
from netspec.target import ExportRequest, Port
from netspec.weights.aligned import read_layout

_NUMBERED = re.compile(r"[A-Z]\w*_\d+")  # what OpenVINO calls a node that nobody named; our parts have small letters


@contextmanager
def converted(request: ExportRequest, flavour: Flavour = OPENVINO, *, split: bool = True) -> Iterator[ov.Model]:
    """The network in float32. Its weights are those of the request's source, mapped, so the file must stay as it is.

    `flavour` and `split`, of upsampling into small convolutions, are for those who compare forms.

    The graph that OpenVINO reads lies beside that file for the moment: weights are found relative to it.
    """
    assert request.source is not None  # NS511 has been told
    slots = slots_of(read_layout(request.source), request.source.name)
    graph = emit(replace(in_float32(request), metadata={}), flavour, slots)
    handle, name = tempfile.mkstemp(dir=request.source.parent, prefix=".openvino-", suffix=".onnx")
    os.close(handle)
    try:
        ir.save(graph, name)
        model = ov.convert_model(name)
    finally:
        os.unlink(name)
    model.reshape({port.name: _bounds(request, port) for port in request.inputs})
    if split:
        upsampling.split(model)
    model.validate_nodes_and_infer_types()
    rename(model)
    yield model


def _bounds(request: ExportRequest, port: Port) -> ov.PartialShape:
    dims = {} if request.plan is None else request.plan.spec.dims

    def dimension(size: int | str) -> ov.Dimension:
        if isinstance(size, int):
            return ov.Dimension(size)
        return ov.Dimension(dims[size].min, dims[size].max) if size in dims else ov.Dimension()

    return ov.PartialShape([dimension(size) for size in port.shape])


def rename(model: ov.Model) -> None:
    """Numbered names, which differ from one conversion to the next, become those of their type and place."""
    nodes = [node for node in model.get_ordered_ops() if node.get_type_name() != "Parameter"]
    taken = {node.friendly_name for node in nodes}
    counts: dict[str, int] = defaultdict(int)
    for node in nodes:
        if _NUMBERED.fullmatch(node.friendly_name):
            kind = node.get_type_name()
            while (name := f"{kind}[{counts[kind]}]") in taken:
                counts[kind] += 1
            node.friendly_name = name
            taken.add(name)


def save(model: ov.Model, request: ExportRequest, path: Path) -> None:
    """Write model.xml and model.bin, the same bytes every time."""
    for key in list(model.rt_info.keys()):
        del model.rt_info[key]  # how it came to be: settings of the tools, the version of one
    for key, text in request.metadata.items():
        model.set_rt_info(text, ["netspec", key])
    ov.save_model(model, path, compress_to_fp16=False)


def faults(request: ExportRequest, path: Path) -> Iterator[Diagnostic]:
    """NS580 where an IR cannot be read, or has other inputs and outputs than the network."""
    try:
        model = ov.Core().read_model(path)
    except RuntimeError as error:
        yield Diagnostic("NS580", f"{path.name}: OpenVINO cannot read it", notes=(str(error).splitlines()[-1],))
        return
    for what, ports, made in (("inputs", request.inputs, model.inputs), ("outputs", request.outputs, model.outputs)):
        wanted, found = {port.name for port in ports}, {name for value in made for name in value.names}
        if lacking := wanted - found:
            yield Diagnostic("NS580", f"{path.name} lacks the {what} {', '.join(sorted(lacking))}")
