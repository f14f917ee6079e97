#!/usr/bin/env python3
"""Run an engine on the inputs in parity.safetensors and compare with the outputs there, PyTorch's in float32.

Needs the Python packages `tensorrt` and `numpy`, and `torch` or `cuda-python` for the GPU's memory. Ends with 1 where
an output differs by more than its precision explains.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

import numpy as np

HERE = Path(__file__).resolve().parent
WARM_UP = 3
TYPES: Mapping[str, Any] = {
    "F32": np.float32, "F16": np.float16, "BF16": np.uint16, "I64": np.int64, "I32": np.int32, "BOOL": np.bool_,
}  # fmt: skip
NAMES = {  # of types: the file's and, in lower case, TensorRT's
    "F32": "float", "F16": "half", "BF16": "bf16", "I64": "int64", "I32": "int32", "BOOL": "bool",
}  # fmt: skip


class Failure(Exception):
    """What a person can act on; printed without a traceback."""


@dataclass(frozen=True)
class Array:
    """Numbers of one type of the file; NumPy has no bfloat16, whose bits travel as uint16."""

    type: str
    data: np.ndarray

    def float32(self) -> np.ndarray:
        if self.type == "BF16":
            return (self.data.astype(np.uint32) << 16).view(np.float32)
        return self.data.astype(np.float32)


class Memory(Protocol):
    """Memory of the GPU."""

    def allocate(self, count: int) -> int: ...
    def upload(self, pointer: int, array: np.ndarray) -> None: ...
    def download(self, pointer: int, array: np.ndarray) -> None: ...
    def stream(self) -> int: ...
    def wait(self) -> None: ...


def main(argv: list[str] | None = None) -> int:
    options = _parser().parse_args(argv)
    try:
        return 0 if run(options) else 1
    except Failure as failure:
        print(f"error: {failure}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", type=Path, default=HERE / "model.engine", help="what build_engine.py wrote")
    parser.add_argument("--parity", type=Path, default=HERE / "parity.safetensors", help="inputs and outputs")
    parser.add_argument("--tolerance", type=float, help="relative to the largest output; the file states one")
    parser.add_argument("--runs", type=int, default=20, metavar="N", help="timed runs")
    return parser


def run(options: argparse.Namespace) -> bool:
    """Whether every output is as close as it shall be. Raises Failure."""
    wanted, metadata = read(options.parity)
    inputs = {name.partition("/")[2]: each for name, each in wanted.items() if name.startswith("inputs/")}
    tolerance = float(metadata["tolerance"]) if options.tolerance is None else options.tolerance
    made, seconds = Engine(options.engine).run(inputs, options.runs)
    shapes = ", ".join(f"{name} {list(each.data.shape)}" for name, each in inputs.items())
    print(f"{shapes}\nmedian of {options.runs} runs: {1000 * seconds:.2f} ms")
    passed = True
    for name, got in made.items():
        expected = wanted[f"outputs/{name}"].float32()
        largest, relative = difference(expected, got.float32())
        fits = relative <= tolerance
        passed &= fits
        print(
            f"{name}: max |Δ| {largest:.2e}, relative {relative:.2e}, tolerance {tolerance:g}: {'ok' if fits else 'NO'}"
        )
    return passed


def difference(expected: np.ndarray, got: np.ndarray) -> tuple[float, float]:
    """The largest difference, and the same relative to the largest expected number; infinite for other shapes."""
    if expected.shape != got.shape or not np.isfinite(got).all():
        return float("inf"), float("inf")
    largest = float(np.abs(expected.astype(np.float64) - got).max(initial=0.0))
    return largest, largest / (float(np.abs(expected).max(initial=0.0)) or 1.0)


def load_data() -> Iterator[dict[str, np.ndarray]]:
    """The inputs, for `polygraphy run --data-loader-script run_engine.py`."""
    wanted, _ = read(HERE / "parity.safetensors")
    yield {name.partition("/")[2]: each.data for name, each in wanted.items() if name.startswith("inputs/")}


def read(path: Path) -> tuple[dict[str, Array], dict[str, str]]:
    """The tensors of a safetensors file, and what it says of them. Raises Failure where there is none."""
    if not path.exists():
        raise Failure(f"{path.name} is not here: the network was built without weights, or with parity off")
    raw = path.read_bytes()
    start = 8 + int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8:start])
    metadata = header.pop("__metadata__", {})
    made = {}
    for name, entry in header.items():
        if entry["dtype"] in TYPES:
            begin, end = (start + offset for offset in entry["data_offsets"])
            data = np.frombuffer(raw[begin:end], dtype=TYPES[entry["dtype"]]).reshape(entry["shape"])
            made[name] = Array(entry["dtype"], data)
    return made, metadata


class Engine:
    """An engine, loaded."""

    def __init__(self, path: Path) -> None:
        trt = _tensorrt()
        if not path.exists():
            raise Failure(f"{path.name} is not here\nhelp: build_engine.py writes it")
        self._trt = trt
        self._memory = _memory()
        self._logger = trt.Logger(trt.Logger.WARNING)
        self._runtime = trt.Runtime(self._logger)
        self._engine = self._runtime.deserialize_cuda_engine(path.read_bytes())
        if self._engine is None:
            raise Failure(
                f"TensorRT {trt.__version__} cannot load {path.name}: engines are for one version and one GPU"
            )
        self._context = self._engine.create_execution_context()

    def run(self, inputs: Mapping[str, Array], runs: int) -> tuple[dict[str, Array], float]:
        """Outputs by name, and the median time of a run in seconds."""
        engine, context, memory = self._engine, self._context, self._memory
        names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
        read = [name for name in names if engine.get_tensor_mode(name) == self._trt.TensorIOMode.INPUT]
        if unknown := set(read) ^ inputs.keys():
            raise Failure(f"the engine has other inputs: {', '.join(sorted(unknown))}")
        for name in read:
            self._check_type(name, inputs[name].type)
            if not context.set_input_shape(name, inputs[name].data.shape):
                raise Failure(f"`{name}`: the engine was built for other sizes than {list(inputs[name].data.shape)}")
        pointers: dict[str, int] = {}
        outputs: dict[str, Array] = {}
        for name in names:
            given = inputs.get(name)
            if given is None:
                given = outputs[name] = self._empty(name)
            pointers[name] = memory.allocate(max(given.data.nbytes, 1))
            context.set_tensor_address(name, pointers[name])
            if name in inputs:
                memory.upload(pointers[name], np.ascontiguousarray(given.data))
        seconds = self._timed(runs)
        for name, each in outputs.items():
            memory.download(pointers[name], each.data)
        return outputs, seconds

    def _timed(self, runs: int) -> float:
        stream, taken = self._memory.stream(), []
        for _ in range(WARM_UP + max(runs, 1)):
            started = time.perf_counter()
            if not self._context.execute_async_v3(stream):
                raise Failure("the run failed; the reason is in TensorRT's log above")
            self._memory.wait()
            taken.append(time.perf_counter() - started)
        return statistics.median(taken[WARM_UP:])

    def _type(self, name: str) -> str:
        told = str(self._engine.get_tensor_dtype(name)).rpartition(".")[2].lower()
        found = next((ours for ours, theirs in NAMES.items() if theirs == told), None)
        if found is None:
            raise Failure(f"`{name}` is of type {told}, which this script does not know")
        return found

    def _check_type(self, name: str, given: str) -> None:
        if self._type(name) != given:
            raise Failure(f"`{name}` is {NAMES[self._type(name)]} in the engine and {NAMES[given]} in the inputs")

    def _empty(self, name: str) -> Array:
        kind = self._type(name)
        return Array(kind, np.empty(tuple(self._context.get_tensor_shape(name)), dtype=TYPES[kind]))


def _tensorrt() -> ModuleType:
    try:
        import tensorrt
    except ImportError as error:
        raise Failure(f"{error}\nhelp: pip install tensorrt (or tensorrt-cu12 for CUDA 12)") from error
    module: ModuleType = tensorrt
    return module


def _memory() -> Memory:
    for kind in (TorchMemory, CudaMemory):
        try:
            return kind()
        except ImportError:
            continue
    raise Failure("the GPU's memory is out of reach\nhelp: pip install cuda-python, or torch")


class TorchMemory:
    """Through PyTorch."""

    def __init__(self) -> None:
        import torch

        if not torch.cuda.is_available():
            raise ImportError("torch has no GPU")
        self._torch: Any = torch
        self._held: dict[int, Any] = {}
        self._stream = self._torch.cuda.Stream()

    def allocate(self, count: int) -> int:
        block = self._torch.empty(count, dtype=self._torch.uint8, device="cuda")
        self._held[block.data_ptr()] = block
        return int(block.data_ptr())

    def upload(self, pointer: int, array: np.ndarray) -> None:
        flat = self._torch.from_numpy(array.reshape(-1).view(np.uint8).copy())
        self._held[pointer][: flat.numel()].copy_(flat)
        self._torch.cuda.synchronize()

    def download(self, pointer: int, array: np.ndarray) -> None:
        array.reshape(-1).view(np.uint8)[:] = self._held[pointer][: array.nbytes].cpu().numpy()

    def stream(self) -> int:
        return int(self._stream.cuda_stream)

    def wait(self) -> None:
        self._stream.synchronize()


class CudaMemory:
    """Through cuda-python, whose runtime module moved in version 12.6."""

    def __init__(self) -> None:
        try:
            from cuda.bindings import runtime
        except ImportError:
            from cuda import cudart as runtime
        self._cuda = runtime
        self._stream = self._checked(runtime.cudaStreamCreate())

    def allocate(self, count: int) -> int:
        return int(self._checked(self._cuda.cudaMalloc(count)))

    def upload(self, pointer: int, array: np.ndarray) -> None:
        kind = self._cuda.cudaMemcpyKind.cudaMemcpyHostToDevice
        self._checked(self._cuda.cudaMemcpy(pointer, array.ctypes.data, array.nbytes, kind))

    def download(self, pointer: int, array: np.ndarray) -> None:
        kind = self._cuda.cudaMemcpyKind.cudaMemcpyDeviceToHost
        self._checked(self._cuda.cudaMemcpy(array.ctypes.data, pointer, array.nbytes, kind))

    def stream(self) -> int:
        return int(self._stream)

    def wait(self) -> None:
        self._checked(self._cuda.cudaStreamSynchronize(self._stream))

    def _checked(self, result: tuple[Any, ...]) -> Any:
        code, *values = result
        if int(code):
            raise Failure(f"CUDA: {code}")
        return values[0] if values else None


if __name__ == "__main__":
    sys.exit(main())
