#!/usr/bin/env python3
"""Build a TensorRT engine from model.onnx, for the sizes in profile.json.

Needs the Python package `tensorrt`, 10 or 11, and the GPU that the engine is for. Every type is in the graph, so there
are no precision flags. The timing cache makes a second build on the same GPU fast.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

HERE = Path(__file__).resolve().parent
UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}
WRITTEN_EVERY = 2.0  # seconds between lines of progress


class Failure(Exception):
    """What a person can act on; printed without a traceback."""


def main(argv: list[str] | None = None) -> int:
    options = _parser().parse_args(argv)
    try:
        build(_tensorrt(), options)
    except Failure as failure:
        print(f"error: {failure}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    wanted = json.loads((HERE / "build.json").read_text(encoding="utf-8"))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--onnx", type=Path, default=HERE / "model.onnx", help="the network")
    parser.add_argument("--profile", type=Path, default=HERE / "profile.json", help="min, opt and max of every input")
    parser.add_argument("--engine", type=Path, default=HERE / "model.engine", help="where to write the engine")
    parser.add_argument("--timing-cache", type=Path, default=HERE / "timing.cache", help="read, then written")
    parser.add_argument(
        "--memory", type=_bytes, default=wanted["memory"], help="limit of the builder's workspace: 16GB"
    )
    refit = argparse.BooleanOptionalAction
    parser.add_argument(
        "--refit", action=refit, default=wanted["refit"], help="an engine whose weights can be replaced"
    )
    parser.add_argument("--level", type=int, choices=range(6), help="how long to search: builder optimization level")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    parser.add_argument("--verbose", action="store_true", help="everything that TensorRT logs")
    return parser


def build(trt: ModuleType, options: argparse.Namespace) -> None:
    """Parse, build, write. Raises Failure."""
    logger = trt.Logger(trt.Logger.VERBOSE if options.verbose else trt.Logger.WARNING)
    builder = trt.Builder(logger)
    network = builder.create_network(_creation_flags(trt))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse_from_file(str(options.onnx)):  # from a file: weights are found beside it
        raise Failure(f"TensorRT {trt.__version__} cannot read {options.onnx.name}\n" + "\n".join(_errors(parser)))
    config = _config(trt, builder, network, options)
    started = time.monotonic()
    engine = builder.build_serialized_network(network, config)
    if engine is None:
        raise Failure("no engine was built; the reason is in TensorRT's log above (more with --verbose)")
    _write(options.engine, engine)
    _write(options.timing_cache, config.get_timing_cache().serialize())
    size = options.engine.stat().st_size
    print(f"wrote {options.engine}: {size:,} bytes, TensorRT {trt.__version__}, {time.monotonic() - started:.0f} s")


def _tensorrt() -> ModuleType:
    try:
        import tensorrt
    except ImportError as error:
        raise Failure(f"{error}\nhelp: pip install tensorrt (or tensorrt-cu12 for CUDA 12)") from error
    major = int(tensorrt.__version__.split(".")[0])
    if major < 10:
        raise Failure(f"TensorRT {tensorrt.__version__} is too old: 10.3 or newer is needed")
    module: ModuleType = tensorrt
    return module


def _creation_flags(trt: ModuleType) -> int:
    """Strong typing has to be asked for in TensorRT 10; from 11 it is the only kind there is."""
    if int(trt.__version__.split(".")[0]) >= 11:
        return 0
    return 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)


def _errors(parser: Any) -> Iterator[str]:
    for index in range(parser.num_errors):
        error = parser.get_error(index)
        yield f"  {error.node_operator()} `{error.node_name()}` (node {error.node()}): {error.desc()}"


def _config(trt: ModuleType, builder: Any, network: Any, options: argparse.Namespace) -> Any:
    config = builder.create_builder_config()
    if options.memory:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, options.memory)
    if options.refit:
        config.set_flag(trt.BuilderFlag.REFIT)
    if options.level is not None:
        config.builder_optimization_level = options.level
    known = options.timing_cache.read_bytes() if options.timing_cache.exists() else b""
    config.set_timing_cache(config.create_timing_cache(known), ignore_mismatch=False)
    config.add_optimization_profile(_profile(builder, network, options.profile))
    if not options.quiet:
        config.progress_monitor = _progress(trt)
    return config


def _profile(builder: Any, network: Any, path: Path) -> Any:
    sizes = json.loads(path.read_text(encoding="utf-8"))
    inputs = {network.get_input(index).name: network.get_input(index) for index in range(network.num_inputs)}
    if unknown := sizes.keys() ^ inputs.keys():
        raise Failure(f"{path.name} and the network have other inputs: {', '.join(sorted(unknown))}")
    profile = builder.create_optimization_profile()
    for name, points in sizes.items():
        shape = tuple(inputs[name].shape)
        for point, given in points.items():
            fits = len(given) == len(shape) and all(own in (-1, size) for own, size in zip(shape, given, strict=True))
            if not fits:
                raise Failure(f"{path.name}: `{name}` is {shape} (-1 may vary), which {point} = {given} does not fit")
        profile.set_shape(name, points["min"], points["opt"], points["max"])
    return profile


def _progress(trt: ModuleType) -> Any:
    class Progress(trt.IProgressMonitor):  # type: ignore[misc, name-defined]  # known when it runs
        """The outermost phase and how far it is; TensorRT calls it from several threads."""

        def __init__(self) -> None:
            super().__init__()
            self.lock = threading.Lock()
            self.steps: dict[str, int] = {}
            self.outermost = ""
            self.last = 0.0

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            with self.lock:
                self.steps[phase_name] = num_steps
                if not parent_phase:
                    self.outermost = phase_name

        def step_complete(self, phase_name: str, step: int) -> bool:
            with self.lock:
                now = time.monotonic()
                if phase_name == self.outermost or now - self.last > WRITTEN_EVERY:
                    self.last = now
                    print(f"{phase_name}: {step + 1} of {self.steps.get(phase_name, step + 1)}", file=sys.stderr)
            return True  # go on

        def phase_finish(self, phase_name: str) -> None:
            with self.lock:
                self.steps.pop(phase_name, None)

    return Progress()


def _write(path: Path, content: Any) -> None:
    """As a whole or not at all: a half-written engine would be found by the next run."""
    partial = path.with_name(f"{path.name}.partial")
    with partial.open("wb") as file:
        file.write(content)
    os.replace(partial, path)


def _bytes(text: str) -> int:
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", text)
    if match is None or match[2].upper() not in UNITS:
        raise argparse.ArgumentTypeError(f"`{text}` is no amount of memory: write 16GB or 16GiB")
    return int(float(match[1]) * UNITS[match[2].upper()])


if __name__ == "__main__":
    sys.exit(main())
