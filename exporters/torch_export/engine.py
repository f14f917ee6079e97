"""Saved programs and compiled packages to be timed."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from exporters.torch_export.runtime import PackageRunner, ProgramRunner, TorchRunner
from netspec.bench.engine import Engine


class TorchEngine(Engine):
    """A file that takes tensors by position, run as its users run it."""

    def __init__(self, path: Path, threads: int, **options: Any) -> None:
        torch.set_num_threads(threads)
        self._runner = self._loaded(path)

    @abstractmethod
    def _loaded(self, path: Path) -> TorchRunner:
        """What runs the file."""

    def prepare(self, inputs: Mapping[str, np.ndarray]) -> Callable[[], object]:
        runner, tensors = self._runner, self._runner.tensors(inputs)

        def run() -> object:
            with torch.inference_mode():
                return runner.compute(*tensors)

        return run


class ProgramEngine(TorchEngine):
    """A program of `torch.export`."""

    def _loaded(self, path: Path) -> TorchRunner:
        return ProgramRunner(path)


class PackageEngine(TorchEngine):
    """A package that Inductor compiled."""

    def _loaded(self, path: Path) -> TorchRunner:
        return PackageRunner(path)
