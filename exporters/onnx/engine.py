"""ONNX Runtime to be timed, and where its time goes."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from exporters.onnx.feeding import accepted
from netspec.bench.engine import Engine, Kernel, Profile, surroundings

_PACKED = "_nchwc"  # what ONNX Runtime appends to the name of a value that it keeps in blocks of channels


class OrtEngine(Engine):
    """A session on an ONNX or ORT file; on a GPU where the file's flavour is made for one."""

    def __init__(self, path: Path, threads: int, flavour: str = "", **options: Any) -> None:
        on_gpu = flavour.endswith("cuda")
        self._providers = ["CUDAExecutionProvider"] * on_gpu + ["CPUExecutionProvider"]
        if missing := set(self._providers) - set(onnxruntime.get_available_providers()):
            raise RuntimeError(f"ONNX Runtime has no {missing.pop()} here")
        self._path, self._threads = path, threads
        self._session = self._start(self._options())

    def _options(self) -> onnxruntime.SessionOptions:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        return options

    def _start(self, options: onnxruntime.SessionOptions) -> onnxruntime.InferenceSession:
        return onnxruntime.InferenceSession(os.fspath(self._path), options, providers=self._providers)

    def prepare(self, inputs: Mapping[str, np.ndarray]) -> Callable[[], object]:
        session, arrays = self._session, accepted(self._session, inputs)
        return lambda: session.run(None, arrays)

    def profile(self, inputs: Mapping[str, np.ndarray], runs: int) -> Profile:
        arrays = accepted(self._session, inputs)
        del self._session  # its memory is wanted
        with tempfile.TemporaryDirectory(dir=_room(self._path)) as name:
            folder = Path(name)
            options = self._options()
            options.enable_profiling = True
            options.profile_file_prefix = str(folder / "profile")
            _keep_graph(options, folder)
            session = self._start(options)
            session.run(None, arrays)  # the first is no example
            for _ in range(runs):
                session.run(None, arrays)
            events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
            names = _neighbours(folder / _GRAPH)
        wholes = [event for event in events if event["name"] == "model_run"]
        started = wholes[-runs]["ts"]
        kernels = list(_kernels([event for event in events if event["ts"] >= started], names, runs))
        return Profile(kernels, sum(event["dur"] for event in wholes[-runs:]) / runs / 1e6, _places(self._path))


_GRAPH = "optimized.onnx"


def _room(path: Path) -> Path:
    """Where a copy of the weights fits: the folder for temporary files, or the one of the graph."""
    needed = 2 * sum(file.stat().st_size for file in path.parent.iterdir() if file.is_file())
    temporary = Path(tempfile.gettempdir())
    return temporary if shutil.disk_usage(temporary).free > needed else path.parent


def _keep_graph(options: onnxruntime.SessionOptions, folder: Path) -> None:
    """Have the graph written down as it is run, with its weights beside it: a graph of 2 GiB cannot hold them."""
    options.optimized_model_filepath = str(folder / _GRAPH)
    options.add_session_config_entry("session.optimized_model_external_initializers_file_name", "weights.bin")
    options.add_session_config_entry("session.optimized_model_external_initializers_min_size_in_bytes", "1024")


def _kernels(events: list[dict[str, Any]], names: Mapping[str, tuple[str, ...]], runs: int) -> Iterator[Kernel]:
    """One kernel for each node of the graph that ran, with its mean time."""
    seconds: dict[tuple[str, str], float] = defaultdict(float)
    for event in events:
        node, _, kind = event["name"].rpartition("_kernel_time")
        if event["cat"] == "Node" and node and not kind:
            seconds[node, event["args"]["op_name"]] += event["dur"] / 1e6
    for (node, op), total in seconds.items():
        yield Kernel(op, total / runs, tuple(name.removesuffix(_PACKED) for name in names.get(node, (node,))))


def _neighbours(graph: Path) -> dict[str, tuple[str, ...]]:
    """Names by which to tell what each node belongs to: those that ONNX Runtime puts in have some of its own."""
    if not graph.exists():  # of an ORT file, which is optimised already
        return {}
    import onnx

    nodes = onnx.load(graph, load_external_data=False).graph.node
    readers: dict[str, list[str]] = defaultdict(list)  # of a value
    for node in nodes:
        for value in node.input:
            readers[value].append(node.name)
    own = {node.name: (node.name, *node.output) for node in nodes}
    return surroundings(own, {node.name: [each for value in node.output for each in readers[value]] for node in nodes})


def _places(path: Path) -> dict[str, str]:
    """Plan node → place in the spec, as the file's own metadata have it."""
    if path.suffix != ".onnx":
        return {}
    import onnx

    nodes = onnx.load(path, load_external_data=False).graph.node
    entries = ((node.name.partition("/")[0], prop) for node in nodes for prop in node.metadata_props)
    return {name: prop.value for name, prop in entries if prop.key == "netspec.source"}
