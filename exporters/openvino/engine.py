"""OpenVINO to be timed, as it is by default, and where its time goes."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov

from netspec.bench.engine import Engine, Kernel, Profile, surroundings


class OpenVINOEngine(Engine):
    """A model compiled for the CPU, from IR or ONNX. A float network computes in what the plugin prefers there:
    bfloat16 where the processor has it."""

    def __init__(self, path: Path, threads: int, **options: Any) -> None:
        self._path, self._threads = path, threads
        self._compiled = self._compile()

    def _compile(self, **properties: object) -> ov.CompiledModel:
        settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": self._threads} | properties
        return ov.Core().compile_model(os.fspath(self._path), "CPU", settings)

    def prepare(self, inputs: Mapping[str, np.ndarray]) -> Callable[[], object]:
        request = _prepared(self._compiled, inputs)
        return lambda: request.infer()

    def profile(self, inputs: Mapping[str, np.ndarray], runs: int) -> Profile:
        del self._compiled  # its memory is wanted
        compiled = self._compile(PERF_COUNT=True)
        request = _prepared(compiled, inputs)
        total = 0.0
        for _ in range(runs):
            request.infer()
            total += request.latency / 1e3
        names = _neighbours(compiled)
        kernels = [  # the counters are means over all runs
            Kernel(each.node_type, each.real_time.total_seconds(), names.get(each.node_name, (each.node_name,)))
            for each in request.profiling_info
            if each.status == ov.ProfilingInfo.Status.EXECUTED
        ]
        return Profile(kernels, total / runs, {})


def _prepared(compiled: ov.CompiledModel, inputs: Mapping[str, np.ndarray]) -> ov.InferRequest:
    """A request that holds its inputs, in the model's types."""
    request = compiled.create_infer_request()
    for port in compiled.inputs:
        (name,) = port.names & inputs.keys()
        array = np.ascontiguousarray(inputs[name], dtype=port.element_type.to_dtype())
        request.set_tensor(name, ov.Tensor(array))
    return request


def _neighbours(compiled: ov.CompiledModel) -> dict[str, tuple[str, ...]]:
    """Names by which to tell what each operation that runs belongs to: OpenVINO gives some that it makes its own."""
    ops = compiled.get_runtime_model().get_ordered_ops()
    own = {op.get_friendly_name(): (op.get_friendly_name(), *_fused(op)) for op in ops}
    readers: dict[str, list[str]] = defaultdict(list)
    for op in ops:
        for value in op.input_values():
            readers[value.get_node().get_friendly_name()].append(op.get_friendly_name())
    return surroundings(own, readers)


def _fused(op: ov.Node) -> tuple[str, ...]:
    info = op.get_rt_info()
    return tuple(info["originalLayersNames"].astype(str).split(",")) if "originalLayersNames" in info else ()


def _name(value: ov.Output) -> str:
    """An input's own name: a file that others wrote may give its value more of them."""
    return str(value.get_node().friendly_name)
