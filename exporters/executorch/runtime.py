"""Run `.pte` files with ExecuTorch's own runtime on this machine's CPU."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from exporters.executorch.quiet import quiet
from exporters.torch_export.runtime import TorchRunner
from netspec.errors import Diagnostic, ExportError

with quiet():
    from executorch.runtime import Runtime, Verification


class ExecutorchRunner(TorchRunner):
    """Runs one program; values inside it cannot be asked for. Raises ExportError where the runtime refuses it."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        try:
            with quiet():
                program = Runtime.get().load_program(path, verification=Verification.InternalConsistency)
                self.method = program.load_method("forward")
        except RuntimeError as error:
            notes = "\n".join(getattr(error, "__notes__", ()))
            raise ExportError(
                Diagnostic("NS593", f"ExecuTorch's runtime does not load {path.name}: {error}", notes=(notes,))
            ) from error

    def compute(self, *inputs: Tensor) -> Sequence[Tensor]:
        with quiet():
            made = self.method.execute([each.contiguous() for each in inputs])
        return [each.clone() for each in made]  # the runtime writes the next results into the same memory
