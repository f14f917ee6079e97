"""Write `model.onnx` and have ONNX's own checker prove it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import onnx
import onnx_ir as ir
from google.protobuf.message import DecodeError

from exporters.lowering import FLAVOURS, Flavour, emit, pack
from exporters.onnx import contrib, twin
from exporters.quantize import BLOCK, SCHEMES, SQNR, SQNR_4, Scheme, Settings, quantise, refusals, tolerance
from netspec.errors import Diagnostic
from netspec.target import ExportRequest, Runner, Target

GRAPH = "model.onnx"


class OnnxExporter(Target):
    """ONNX for a general runtime.

    flavour: the operators to prefer: see `exporters.lowering.FLAVOURS`.
    weights_only: layers in few bits keep their activations in float.
    calibration, sqnr, block: see `exporters.quantize.Settings`; without `sqnr`, what the precision can keep.
    """

    name: ClassVar[str] = "onnx"

    file: ClassVar[str] = GRAPH

    precisions: ClassVar[Mapping[str, str]] = {
        "fp32": "fp32", "fp16": "fp16", "bf16": "bf16", "int8": "fp32", "int4": "fp32",
    }  # fmt: skip

    engine: ClassVar[str] = "exporters.onnx.engine:OrtEngine"

    def __init__(
        self,
        flavour: str | Flavour = "ort-cpu",
        weights_only: bool = False,
        calibration: str | None = None,
        sqnr: float | None = None,
        block: int = BLOCK,
    ) -> None:
        self.flavour = flavour
        self.weights_only = weights_only
        self._given = Settings(calibration, SQNR if sqnr is None else sqnr, block)
        self._bounded = sqnr is not None

    def requires(self, request: ExportRequest) -> Iterator[Diagnostic]:
        if not isinstance(self.flavour, Flavour) and self.flavour not in list(FLAVOURS):  # a spec may hold anything
            known = ", ".join(FLAVOURS)
            yield Diagnostic(code="NS508", message=f"no flavour `{self.flavour}`", help=(f"one of: {known}",))
        yield from refusals(self._given)
        if not isinstance(self.weights_only, bool):
            yield Diagnostic("NS561", f"`weights_only: {self.weights_only}` means nothing", help=("true or false",))
        elif {"int8", "int4"} <= _used(request) and not self.weights_only:
            yield Diagnostic("NS561", "int4 beside int8 is of weights alone", help=("say `weights_only: true`",))
        if _few_bits(request) and {"fp16", "bf16"} & _used(request):
            lies = "int8 and int4 lie between float32 here, which is what ONNX Runtime has kernels for"
            yield Diagnostic("NS561", lies, help=("say `default: int8`, or leave fp16 and bf16 out",))

    def tolerance(self, request: ExportRequest) -> float | None:
        return tolerance(self._settings(request)) if _few_bits(request) else None

    def export(self, request: ExportRequest, folder: Path) -> tuple[Path, ...]:
        flavour = self._flavour
        if _few_bits(request):
            return quantise(request, folder, flavour, self._scheme(request, flavour), self._settings(request)).files
        path = folder / GRAPH
        ir.save(emit(request, flavour, pack(request, folder)), path)
        return (path,)

    def rebind(self, request: ExportRequest, before: Path, folder: Path) -> None:
        if _few_bits(request):  # scales follow from the weights
            self.run(request, folder)
            return
        shutil.copyfile(before / GRAPH, folder / GRAPH)
        pack(request, folder)

    def ensures(self, request: ExportRequest, files: tuple[Path, ...]) -> Iterator[Diagnostic]:
        yield from invalid(files[0])
        if twin.proves(request):
            yield from twin.differences(files[0], request, self._flavour)

    def runner(self, graph: Path) -> Runner:
        return twin.runner(graph)

    def twin(self, request: ExportRequest) -> Runner | None:
        return twin.exact(request, self._flavour) if twin.proves(request) else None

    @property
    def _flavour(self) -> Flavour:
        return FLAVOURS[self.flavour] if isinstance(self.flavour, str) else self.flavour

    def _settings(self, request: ExportRequest) -> Settings:
        if self._bounded or "int4" not in _used(request):
            return self._given
        return replace(self._given, sqnr=SQNR_4)

    def _scheme(self, request: ExportRequest, flavour: Flavour) -> Scheme:
        if not self.weights_only and "int4" not in _used(request):
            return SCHEMES["ort-int8"]
        return SCHEMES["blocks" if flavour.name == "portable" else "ort-blocks"]


def _used(request: ExportRequest) -> frozenset[str]:
    return frozenset() if request.precision is None else request.precision.uses


def _few_bits(request: ExportRequest) -> bool:
    return request.precision is not None and bool(request.precision.quantised)


def invalid(path: Path) -> Iterator[Diagnostic]:
    """NS509 where ONNX's own checker refuses a file."""
    try:
        model = onnx.load(path, load_external_data=False)
        _check(path, model)
    except (DecodeError, onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        yield Diagnostic(code="NS509", message=f"{path.name} is no valid ONNX: {error}")
        return
    for problem in contrib.problems(model):
        yield Diagnostic(code="NS509", message=f"{path.name} is no valid ONNX: {problem}")


def _check(path: Path, model: onnx.ModelProto) -> None:
    """onnx.checker in full, with shapes inferred; where the weights are not written yet, against an empty stand-in.

    Raises what the checker raises.
    """
    ends = _ends(model)
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


def _ends(model: onnx.ModelProto) -> dict[str, int]:
    """How long each file of weights that a graph refers to must be."""
    ends: dict[str, int] = {}
    for tensor in model.graph.initializer:
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            place = {entry.key: entry.value for entry in tensor.external_data}
            end = int(place["offset"]) + int(place["length"])
            ends[place["location"]] = max(ends.get(place["location"], 0), end)
    return ends
