"""Write `model.pte`: an ExecuTorch program whose layers run on XNNPACK. ExecuTorch is imported by the methods."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar

from exporters.torch_export import TorchExporter, ports
from netspec.errors import Diagnostic
from netspec.target import ExportRequest, Runner

REPORT = "executorch.json"
# XNNPACK computes exp, tanh and the sigmoid by rational approximations: 1e-4 of the largest value through a few blocks
# (measured), where PyTorch's own differ by 1e-6.
TOLERANCE = 1e-3


class ExecutorchExporter(TorchExporter):
    """An ExecuTorch program for phones and boards, at fixed sizes: layers that XNNPACK has run there, the others by
    ExecuTorch's portable kernels; `executorch.json` says which. int8 is static, per channel, calibrated over t."""

    name: ClassVar[str] = "executorch"

    file: ClassVar[str] = "model.pte"

    engine: ClassVar[str] = "exporters.executorch.engine:ExecutorchEngine"

    precisions: ClassVar[Mapping[str, str]] = {"fp32": "fp32", "fp16": "fp16", "int8": "fp32"}

    modules: ClassVar[tuple[str, ...]] = ("executorch", "torchao")

    extra: ClassVar[str] = "executorch"

    def tolerance(self, request: ExportRequest) -> float | None:
        fp32 = request.precision is None or request.precision.uses == {"fp32"}
        return TOLERANCE if fp32 else None

    def requires(self, request: ExportRequest) -> Iterator[Diagnostic]:
        free = sorted({size for port in request.inputs for size in port.shape if isinstance(size, str)})
        if free:
            dims = request.plan.spec.dims if request.plan else {}
            fixed = ", ".join(f"{word}: {dims[word].opt}" for word in free if word in dims)
            yield Diagnostic(
                "NS592",
                f"ExecuTorch plans its memory for fixed sizes, and {', '.join(free)} may vary",
                help=(f"fix them for this target: `dims: {{{fixed}}}`; a target for each size that is needed",),
            )

    def export(self, request: ExportRequest, folder: Path) -> tuple[Path, ...]:
        from exporters.executorch.lowering import lowered

        made = lowered(self.program(request), request)
        path, report = folder / self.file, folder / REPORT
        path.write_bytes(made.program)
        report.write_text(json.dumps(made.report(), indent=1) + "\n", encoding="utf-8")
        return path, ports.write(request, folder), report

    def ensures(self, request: ExportRequest, files: tuple[Path, ...]) -> Iterator[Diagnostic]:
        with files[0].open("rb") as file:
            if file.read(8)[4:6] != b"ET":  # a flatbuffer's identifier: ET and a version
                yield Diagnostic("NS591", f"{files[0].name} is no ExecuTorch program")

    def runner(self, graph: Path) -> Runner:
        from exporters.executorch.runtime import ExecutorchRunner

        return ExecutorchRunner(graph)
