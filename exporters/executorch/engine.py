"""ExecuTorch programs to be timed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from exporters.executorch.quiet import quiet
from exporters.executorch.runtime import ExecutorchRunner
from exporters.torch_export.engine import TorchEngine
from exporters.torch_export.runtime import TorchRunner

with quiet():
    from executorch.extension.pybindings.portable_lib import _unsafe_reset_threadpool


class ExecutorchEngine(TorchEngine):
    """A program on XNNPACK's threads. Their number is set before anything runs, which is what makes that safe."""

    def __init__(self, path: Path, threads: int, **options: Any) -> None:
        _unsafe_reset_threadpool(threads)
        super().__init__(path, threads)

    def _loaded(self, path: Path) -> TorchRunner:
        return ExecutorchRunner(path)
