"""What a deployment target is: a class that says what it needs, writes files, and proves what it wrote."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, final

from exporters.request import ExportRequest
from netspec.errors import Diagnostic, ExportError, RegistrationError

TARGETS: dict[str, type[Target]] = {}


class Target(ABC):
    """Subclass with a `name` to register. Options are constructor arguments; `run` is the only entry."""

    name: ClassVar[str]

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if inspect.isabstract(cls):
            return
        other = TARGETS.setdefault(cls.name, cls)
        if other is not cls:
            owners = tuple(f"{owner.__module__}.{owner.__qualname__}" for owner in (other, cls))
            raise RegistrationError(
                Diagnostic(code="NS952", message=f"the exporter `{cls.name}` is registered twice", notes=owners)
            )

    def requires(self, request: ExportRequest) -> Iterator[Diagnostic]:
        """Why this network cannot go to this target, found before anything is written."""
        yield from ()

    @abstractmethod
    def export(self, request: ExportRequest, folder: Path) -> tuple[Path, ...]:
        """Write the target's files into `folder`, where the weights lie (or will), and name them."""

    def ensures(self, request: ExportRequest, files: tuple[Path, ...]) -> Iterator[Diagnostic]:
        """What is wrong with the written files."""
        yield from ()

    @final
    def run(self, request: ExportRequest, folder: Path) -> tuple[Path, ...]:
        """requires, export, ensures. Raises ExportError with every finding of the stage that failed."""
        _refuse(self.requires(request))
        files = self.export(request, folder)
        _refuse(self.ensures(request, files))
        return files


def _refuse(found: Iterator[Diagnostic]) -> None:
    diagnostics = tuple(found)
    if diagnostics:
        raise ExportError(*diagnostics)
