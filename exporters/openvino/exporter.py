"""Write `model.xml` and `model.bin`. OpenVINO and NNCF are imported by the methods."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

from exporters.quantize import Settings, refusals, tolerance
from exporters.quantize.settings import DEFAULT
from netspec.errors import Diagnostic
from netspec.target import ExportRequest, Runner, Target

COMPILE = "openvino.json"


class OpenVINOExporter(Target):
    """OpenVINO's own format. Inputs and outputs are float32; precision is that of the weights.

    The machine decides what a float network computes in (bfloat16 where its processor has that), so parity asks for
    accuracy: `EXECUTION_MODE_HINT=ACCURACY`. `openvino.json` says how to ask for either, and the sizes.

    calibration, sqnr: of int8, as `exporters.quantize.Settings` has them.
    """

    name: ClassVar[str] = "openvino"

    file: ClassVar[str] = "model.xml"

    precisions: ClassVar[Mapping[str, str]] = dict.fromkeys(("fp32", "fp16", "bf16", "int8"), "fp32")

    modules: ClassVar[tuple[str, ...]] = ("openvino", "nncf")

    extra: ClassVar[str] = "openvino"

    needs_weights: ClassVar[bool] = True

    engine: ClassVar[str] = "exporters.openvino.engine:OpenVINOEngine"

    def __init__(self, calibration: str | None = DEFAULT.calibration, sqnr: float = DEFAULT.sqnr) -> None:
        self.settings = Settings(calibration=calibration, sqnr=sqnr)

    def requires(self, request: ExportRequest) -> Iterator[Diagnostic]:
        yield from refusals(self.settings)

    def tolerance(self, request: ExportRequest) -> float | None:
        return tolerance(self.settings) if _is_quantised(request) else None

    def export(self, request: ExportRequest, folder: Path) -> tuple[Path, ...]:
        from exporters.openvino import conversion, halves

        graph = folder / self.file
        more: tuple[Path, ...] = ()
        with conversion.converted(request) as model:
            if _is_quantised(request):
                from exporters.openvino import quantised  # NNCF takes seconds to import

                model, more = quantised.quantise(model, request, self.settings, folder)
                conversion.rename(model)
            with halves.halved(model, request, folder):
                conversion.save(model, request, graph)
        (folder / COMPILE).write_text(json.dumps(_advice(request), indent=2) + "\n", encoding="utf-8", newline="\n")
        return graph, graph.with_suffix(".bin"), folder / COMPILE, *more

    def ensures(self, request: ExportRequest, files: tuple[Path, ...]) -> Iterator[Diagnostic]:
        from exporters.openvino import conversion

        yield from conversion.faults(request, files[0])

    def runner(self, graph: Path) -> Runner:
        from exporters.openvino.runtime import IRRunner

        return IRRunner(graph)


def _is_quantised(request: ExportRequest) -> bool:
    return request.precision is not None and bool(request.precision.quantised)


def _advice(request: ExportRequest) -> dict[str, Any]:
    """What to hand to `core.compile_model`, and sizes; a network is faster where `model.reshape` fixes them first."""
    dims = {} if request.plan is None else request.plan.spec.dims
    words = {size for port in request.inputs for size in port.shape if isinstance(size, str)}
    return {
        "inputs": {port.name: list(port.shape) for port in request.inputs},
        "outputs": {port.name: list(port.shape) for port in request.outputs},
        "sizes": {
            word: {"min": dim.min, "opt": dim.opt, "max": dim.max} for word, dim in dims.items() if word in words
        },
        "compile": {
            "latency": {"PERFORMANCE_HINT": "LATENCY"},
            "throughput": {"PERFORMANCE_HINT": "THROUGHPUT"},
            "accuracy": {"EXECUTION_MODE_HINT": "ACCURACY"},
        },
    }
