"""A stand-in of `tensorrt`, both generations, and of the GPU's memory: they record what scripts tell them."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import onnx
from safetensors.torch import load_file

from tests.tensorrt_targets import graph


class FakeParser:
    """nvonnxparser: reads, or reports one node."""

    def __init__(self, network: SimpleNamespace, logger: object) -> None:
        self.network = network
        self.num_errors = 0

    def parse_from_file(self, path: str) -> bool:
        self.network.calls.append(("parse", Path(path).name))
        for value in onnx.load(path, load_external_data=False).graph.input:
            dims = value.type.tensor_type.shape.dim
            self.network.inputs.append(SimpleNamespace(name=value.name, shape=[dim.dim_value or -1 for dim in dims]))
        self.network.num_inputs = len(self.network.inputs)
        self.num_errors = int(self.network.broken)
        return not self.network.broken

    def get_error(self, index: int) -> SimpleNamespace:
        told = {"node_operator": "Resize", "node_name": "up_0/resize", "node": 12, "desc": "cubic"}
        return SimpleNamespace(**{name: (lambda value=value: value) for name, value in told.items()})


class FakeConfig:
    """IBuilderConfig: records; refuses attributes that the API does not have."""

    __slots__ = ("builder_optimization_level", "calls", "progress_monitor")

    def __init__(self, calls: list[Any]) -> None:
        self.calls = calls
        self.progress_monitor = None

    def set_memory_pool_limit(self, pool: str, size: int) -> None:
        self.calls.append(("limit", pool, size))

    def set_flag(self, flag: str) -> None:
        self.calls.append(("flag", flag))

    def create_timing_cache(self, blob: bytes) -> bytes:
        return blob

    def set_timing_cache(self, cache: bytes, ignore_mismatch: bool) -> None:
        self.calls.append(("cache", cache))

    def get_timing_cache(self) -> SimpleNamespace:
        return SimpleNamespace(serialize=lambda: b"timings")

    def add_optimization_profile(self, profile: SimpleNamespace) -> int:
        self.calls.append(("profile", profile.shapes))
        return 0


def fake_tensorrt(version: str, broken: bool = False, fails: bool = False) -> ModuleType:
    """What build_engine.py uses of `tensorrt`; `calls` holds what it was told."""
    trt = ModuleType("tensorrt")
    calls: list[Any] = []

    class Monitor:
        pass

    def network(flags: int) -> SimpleNamespace:
        calls.append(("network", flags))
        made = SimpleNamespace(calls=calls, inputs=[], num_inputs=0, broken=broken)
        made.get_input = lambda index: made.inputs[index]
        return made

    def profile() -> SimpleNamespace:
        shapes: dict[str, Any] = {}
        set_shape = lambda name, low, opt, high: shapes.update({name: (low, opt, high)})  # noqa: E731
        return SimpleNamespace(shapes=shapes, set_shape=set_shape)

    def build(network: object, config: FakeConfig) -> bytes | None:
        if config.progress_monitor is not None:
            monitor: Any = config.progress_monitor
            assert isinstance(monitor, Monitor)
            monitor.phase_start("Building", None, 2)
            assert monitor.step_complete("Building", 0) is True
            monitor.phase_finish("Building")
        return None if fails else b"engine"

    trt.__version__ = version  # type: ignore[attr-defined]
    builder = SimpleNamespace(
        create_network=network,
        create_builder_config=lambda: FakeConfig(calls),
        create_optimization_profile=profile,
        build_serialized_network=build,
    )
    known: dict[str, Any] = {
        "calls": calls,
        "Logger": type("Logger", (), {"__init__": lambda self, level: None, "VERBOSE": 0, "WARNING": 1}),
        "Builder": lambda logger: builder,
        "OnnxParser": FakeParser,
        "IProgressMonitor": Monitor,
        "MemoryPoolType": SimpleNamespace(WORKSPACE="workspace"),
        "BuilderFlag": SimpleNamespace(REFIT="refit"),
    }
    if version.startswith("10."):  # in 11 the flag is deprecated, and may go
        known["NetworkDefinitionCreationFlag"] = SimpleNamespace(STRONGLY_TYPED=1)
    for name, each in known.items():
        setattr(trt, name, each)
    return trt


class FakeContext:
    """IExecutionContext over the host's memory: writes the outputs that it is told to."""

    def __init__(self, answer: Callable[[Mapping[str, bytes]], Mapping[str, np.ndarray]], engine: FakeEngine) -> None:
        self.answer, self.engine = answer, engine
        self.pointers: dict[str, int] = {}
        self.shapes: dict[str, tuple[int, ...]] = {}

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self.shapes[name] = tuple(shape)
        return True

    def set_tensor_address(self, name: str, pointer: int) -> None:
        self.pointers[name] = pointer

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return self.engine.output_shape

    def execute_async_v3(self, stream: int) -> bool:
        read = {name: ctypes.string_at(self.pointers[name], size) for name, size in self.engine.sizes.items()}
        for name, array in self.answer(read).items():
            ctypes.memmove(self.pointers[name], array.ctypes.data, array.nbytes)
        return True


class FakeEngine:
    """ICudaEngine of the exported graph."""

    def __init__(self, folder: Path, answer: Callable[[Mapping[str, bytes]], Mapping[str, np.ndarray]]) -> None:
        model = graph(folder)
        self._inputs = {value.name: value.type.tensor_type.elem_type for value in model.graph.input}
        self._outputs = {value.name: value.type.tensor_type.elem_type for value in model.graph.output}
        held = load_file(folder / "parity.safetensors")
        self.sizes = {name: held[f"inputs/{name}"].nbytes for name in self._inputs}
        self.output_shape = tuple(held["outputs/output"].shape)
        self._answer = answer
        self.num_io_tensors = len(self._inputs) + len(self._outputs)

    def get_tensor_name(self, index: int) -> str:
        return [*self._inputs, *self._outputs][index]

    def get_tensor_mode(self, name: str) -> str:
        return "input" if name in self._inputs else "output"

    def get_tensor_dtype(self, name: str) -> str:
        kind = (self._inputs | self._outputs)[name]
        return "DataType." + {1: "FLOAT", 10: "HALF", 16: "BF16", 7: "INT64"}[kind]

    def create_execution_context(self) -> FakeContext:
        return FakeContext(self._answer, self)


def engine_module(engine: FakeEngine | None) -> ModuleType:
    trt = ModuleType("tensorrt")
    known = {
        "__version__": "11.4.0",
        "Logger": type("Logger", (), {"__init__": lambda self, level: None, "WARNING": 1}),
        "TensorIOMode": SimpleNamespace(INPUT="input", OUTPUT="output"),
        "Runtime": lambda logger: SimpleNamespace(deserialize_cuda_engine=lambda blob: engine),
    }
    for name, each in known.items():
        setattr(trt, name, each)
    return trt


def cuda_python() -> dict[str, ModuleType]:
    """cuda-python over the host's memory: modules by name."""
    held: dict[int, Any] = {}

    def allocate(count: int) -> tuple[int, int]:
        block = ctypes.create_string_buffer(count)
        held[ctypes.addressof(block)] = block
        return 0, ctypes.addressof(block)

    def copy(to: int, source: int, count: int, kind: str) -> tuple[int]:
        ctypes.memmove(to, source, count)
        return (0,)

    runtime = ModuleType("cuda.bindings.runtime")
    known = {
        "cudaMalloc": allocate, "cudaMemcpy": copy, "cudaStreamCreate": lambda: (0, 7),
        "cudaStreamSynchronize": lambda stream: (0,),
        "cudaMemcpyKind": SimpleNamespace(cudaMemcpyHostToDevice="up", cudaMemcpyDeviceToHost="down"),
    }  # fmt: skip
    for name, each in known.items():
        setattr(runtime, name, each)
    bindings = ModuleType("cuda.bindings")
    bindings.runtime = runtime  # type: ignore[attr-defined]
    return {"cuda": ModuleType("cuda"), "cuda.bindings": bindings, "cuda.bindings.runtime": runtime}
