"""Write `model.pt2`: a program that PyTorch loads, or one that it has compiled. PyTorch is imported by the methods."""

from __future__ import annotations

import json
import os
import shutil
import sys
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from exporters.torch_export import ports
from exporters.torch_export.seam import seam
from netspec.errors import Diagnostic
from netspec.target import ExportRequest, Runner, Target

if TYPE_CHECKING:
    from torch.export import ExportedProgram


class TorchExporter(Target):
    """A program of `torch.export` with its weights, for `torch.export.load`: no code of netspec is needed to run it."""

    name: ClassVar[str] = "torch_export"

    file: ClassVar[str] = "model.pt2"

    engine: ClassVar[str] = "exporters.torch_export.engine:ProgramEngine"

    precisions: ClassVar[Mapping[str, str]] = {"fp32": "fp32", "fp16": "fp16", "bf16": "bf16"}

    needs_weights: ClassVar[bool] = True

    def __init__(self) -> None:
        self._made: tuple[object, ExportedProgram] | None = None

    def program(self, request: ExportRequest) -> ExportedProgram:
        """The request's program. Tracing takes most of the time and is done once for one network, whatever weights."""
        from exporters.torch_export import program

        if self._made is None or self._made[0] is not request.model:
            self._made = (request.model, program.program(request))
            return self._made[1]
        return program.refill(self._made[1], request)

    def export(self, request: ExportRequest, folder: Path) -> tuple[Path, ...]:
        import torch

        path = folder / self.file
        made = self.program(request)
        with seam("saving the program"):
            torch.export.save(made, path, extra_files=dict(request.metadata))
        return path, ports.write(request, folder)

    def ensures(self, request: ExportRequest, files: tuple[Path, ...]) -> Iterator[Diagnostic]:
        lost = sorted(request.model.state_dict().keys() ^ _weights(files[0]))
        if lost:
            yield Diagnostic(
                "NS590",
                f"{files[0].name} has other weights than the network: {', '.join(lost[:5])}",
                help=("build the target again: `netspec build --force`",),
            )

    def runner(self, graph: Path) -> Runner:
        from exporters.torch_export.runtime import ProgramRunner

        return ProgramRunner(graph)


class AotInductorExporter(TorchExporter):
    """A program of `torch.export` that PyTorch's Inductor has compiled for the processor of this machine: a package for
    `torch._inductor.aoti_load_package` and for C++."""

    name: ClassVar[str] = "aot_inductor"

    engine: ClassVar[str] = "exporters.torch_export.engine:PackageEngine"

    stamped: ClassVar[str] = "the C++ compiler writes the names of temporary files into the code"

    @classmethod
    def missing(cls) -> str:
        """A C++ compiler is looked for where Inductor looks."""
        wanted = os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")
        if shutil.which(wanted):
            return ""
        return f"no C++ compiler `{wanted}` is installed: apt install g++, or name one in CXX"

    def export(self, request: ExportRequest, folder: Path) -> tuple[Path, ...]:
        from torch._inductor import aoti_compile_and_package

        path = folder / self.file
        made = self.program(request)
        with seam("compiling the program"):
            aoti_compile_and_package(made, package_path=str(path))
        return path, ports.write(request, folder)

    def ensures(self, request: ExportRequest, files: tuple[Path, ...]) -> Iterator[Diagnostic]:
        if not zipfile.is_zipfile(files[0]):
            yield Diagnostic("NS591", f"{files[0].name} is no package of compiled code")

    def runner(self, graph: Path) -> Runner:
        from exporters.torch_export.runtime import PackageRunner

        return PackageRunner(graph)


def _weights(path: Path) -> set[str]:
    """Keys of the weights in a saved program; empty where it is none."""
    try:
        with zipfile.ZipFile(path) as archive:
            (name,) = (name for name in archive.namelist() if name.endswith("weights/model_weights_config.json"))
            return set(json.loads(archive.read(name))["config"])
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return set()
