"""Write `model.onnx` and have ONNX's own checker prove it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar

import onnx
import onnx_ir as ir
from google.protobuf.message import DecodeError

from exporters.lowering import FLAVOURS, Flavour, emit, pack
from exporters.onnx import runtime
from netspec.errors import Diagnostic
from netspec.target import ExportRequest, Runner, Target


class OnnxExporter(Target):
    """ONNX for a general runtime. `flavour` names the operators to prefer: see `exporters.lowering.FLAVOURS`."""

    name: ClassVar[str] = "onnx"

    file: ClassVar[str] = "model.onnx"

    precisions: ClassVar[Mapping[str, str]] = {"fp32": "fp32", "fp16": "fp16", "bf16": "bf16"}

    def __init__(self, flavour: str | Flavour = "ort-cpu") -> None:
        self.flavour = flavour

    def requires(self, request: ExportRequest) -> Iterator[Diagnostic]:
        if not isinstance(self.flavour, Flavour) and self.flavour not in list(FLAVOURS):  # a spec may hold anything
            known = ", ".join(FLAVOURS)
            yield Diagnostic(code="NS508", message=f"no flavour `{self.flavour}`", help=(f"one of: {known}",))

    def export(self, request: ExportRequest, folder: Path) -> tuple[Path, ...]:
        flavour = FLAVOURS[self.flavour] if isinstance(self.flavour, str) else self.flavour
        path = folder / self.file
        ir.save(emit(request, flavour, pack(request, folder)), path)
        return (path,)

    def rebind(self, request: ExportRequest, before: Path, folder: Path) -> None:
        shutil.copyfile(before / self.file, folder / self.file)
        pack(request, folder)

    def ensures(self, request: ExportRequest, files: tuple[Path, ...]) -> Iterator[Diagnostic]:
        for path in files[:1]:
            try:
                check(path)
            except (DecodeError, onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
                yield Diagnostic(code="NS509", message=f"{path.name} is no valid ONNX: {error}")

    def runner(self, graph: Path) -> Runner:
        return runtime.Runner(graph)


def check(path: Path) -> None:
    """onnx.checker in full, with shapes inferred; where the weights are not written yet, against an empty stand-in.

    Raises what the checker raises.
    """
    ends = _ends(path)
    if all((path.parent / location).exists() for location in ends):
        onnx.checker.check_model(path, full_check=True)
        return
    with tempfile.TemporaryDirectory() as name:  # not beside the graph: a bundle may be read-only
        folder = Path(name)
        for location, end in ends.items():
            stand_in = folder / location
            stand_in.parent.mkdir(parents=True, exist_ok=True)
            with stand_in.open("wb") as file:
                file.truncate(end)  # sparse: takes no room on disk
        copy = folder / path.name
        copy.write_bytes(path.read_bytes())
        onnx.checker.check_model(copy, full_check=True)


def _ends(path: Path) -> dict[str, int]:
    """How long each file of weights that a graph refers to must be."""
    ends: dict[str, int] = {}
    for tensor in onnx.load(path, load_external_data=False).graph.initializer:
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            place = {entry.key: entry.value for entry in tensor.external_data}
            end = int(place["offset"]) + int(place["length"])
            ends[place["location"]] = max(ends.get(place["location"], 0), end)
    return ends
