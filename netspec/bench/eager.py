"""PyTorch as a backend: the bundle's network on its float32 weights, as it is, and compiled."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from netspec import graph
from netspec.bench.engine import Engine
from netspec.compiler import read_spec
from netspec.deployment import WEIGHTS
from netspec.planner import lower
from netspec.weights import store


class Eager(Engine):
    """PyTorch without a compiler; `outputs` are those of the network that are wanted, all where none is named."""

    def __init__(self, path: Path, threads: int, outputs: Sequence[str] = ()) -> None:
        torch.set_num_threads(threads)
        plan = lower(read_spec(path))
        if outputs:
            plan = plan.only(outputs)
        model = graph.build(plan, device="meta").eval()
        store.fill(model, path / WEIGHTS)
        self._names = tuple(plan.inputs)
        self._model = self._made(model)

    def _made(self, model: nn.Module) -> Callable[..., object]:
        return model

    def prepare(self, inputs: Mapping[str, np.ndarray]) -> Callable[[], object]:
        tensors: list[Tensor] = [torch.from_numpy(inputs[name]) for name in self._names]

        def run() -> object:
            with torch.inference_mode():
                return self._model(*tensors)

        return run


class Compiled(Eager):
    """torch.compile, for the sizes at hand: other sizes are compiled again."""

    def _made(self, model: nn.Module) -> Callable[..., object]:
        compiled: Callable[..., object] = torch.compile(model, dynamic=False)
        return compiled
