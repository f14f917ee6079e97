"""Run exported programs and compiled packages with PyTorch on this machine's CPU."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx

from exporters.torch_export import ports


class TorchRunner(ABC):
    """Runs a file that takes tensors by position; what `netspec.target.Runner` asks for."""

    def __init__(self, path: Path) -> None:
        self.inputs, self.outputs = ports.read(path)

    @abstractmethod
    def compute(self, *inputs: Tensor) -> Tensor | Sequence[Tensor]:
        """The outputs, in the order of `outputs`."""

    def __call__(self, inputs: Mapping[str, np.ndarray], extra_outputs: Sequence[str] = ()) -> Mapping[str, np.ndarray]:
        """Outputs by name, in float32 where they are narrower, which numpy lacks. Of `extra_outputs` only a program
        has any."""
        with torch.no_grad():
            made = self.compute(*self.tensors(inputs))
        found = (made,) if isinstance(made, Tensor) else made
        return {name: _array(value) for name, value in zip(self.outputs, found, strict=True)}

    def tensors(self, inputs: Mapping[str, np.ndarray]) -> list[Tensor]:
        """The inputs in order, in the types that the file takes."""
        return [torch.from_numpy(inputs[name]).to(getattr(torch, dtype)) for name, dtype in self.inputs.items()]


class ProgramRunner(TorchRunner):
    """Runs a saved program of `torch.export`."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of PyTorch's own parts to each other
            self.module = torch.export.load(path).module()

    def compute(self, *inputs: Tensor) -> Tensor | Sequence[Tensor]:
        return self.module(*inputs)  # type: ignore[no-any-return]  # a module's call is untyped

    def __call__(self, inputs: Mapping[str, np.ndarray], extra_outputs: Sequence[str] = ()) -> Mapping[str, np.ndarray]:
        made = dict(super().__call__(inputs))
        if extra_outputs:
            recorder = _Recorder(self.module)
            with torch.no_grad():
                recorder.run(*self.tensors(inputs))
            made |= {name: _array(recorder.made[name]) for name in extra_outputs if name in recorder.made}
        return made


class PackageRunner(TorchRunner):
    """Runs a package that Inductor compiled."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.package = torch._inductor.aoti_load_package(str(path))

    def compute(self, *inputs: Tensor) -> Tensor | Sequence[Tensor]:
        return self.package(*inputs)  # type: ignore[no-any-return]  # untyped as well


class _Recorder(fx.Interpreter):
    """Runs a program and keeps the last value that each top-level module made."""

    def __init__(self, module: Any) -> None:
        super().__init__(module)
        self.made: dict[str, Tensor] = {}

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        if isinstance(value, Tensor):
            for path, _ in (n.meta.get("nn_module_stack") or {}).values():
                self.made[path.split(".")[0]] = value
        return value


def _array(value: Tensor) -> np.ndarray:
    return value.detach().float().numpy() if value.is_floating_point() else value.detach().numpy()
