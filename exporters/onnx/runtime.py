"""Run a written graph on ONNX Runtime's CPU provider, with any inner value as an extra output."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto

from exporters.onnx.feeding import accepted


def session(path: Path, threads: int = 0, optimize: bool = True) -> onnxruntime.InferenceSession:
    """A CPU session on a file; weights are mapped by ONNX Runtime, so size does not matter."""
    settings = options(threads, onnx.load(path, load_external_data=False) if path.suffix == ".onnx" else None)
    if not optimize:
        settings.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(os.fspath(path), settings, providers=["CPUExecutionProvider"])


def options(threads: int = 0, model: onnx.ModelProto | None = None) -> onnxruntime.SessionOptions:
    """Settings of every session here.

    A graph with float8 keeps its Q and DQ where they are: ONNX Runtime moves them past Transpose and then refuses it.
    """
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = threads
    settings.log_severity_level = 3  # errors: warnings about symbolic names are no concern of the user
    if model is not None and any(each.data_type == TensorProto.FLOAT8E4M3FN for each in model.graph.initializer):
        settings.add_session_config_entry("session.disable_quant_qdq", "1")
    return settings


class Runner:
    """Runs one graph, keeping its session; what `netspec.target.Runner` asks for."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.session = session(path)

    def __call__(self, inputs: Mapping[str, np.ndarray], extra_outputs: Sequence[str] = ()) -> Mapping[str, np.ndarray]:
        """Outputs by name. Numbers are given in the precision that the graph declares."""
        arrays = accepted(self.session, inputs)
        if extra_outputs:
            return run(self.path, arrays, extra_outputs)
        names = [value.name for value in self.session.get_outputs()]
        return dict(zip(names, self.session.run(names, arrays), strict=True))


def run(
    path: Path, inputs: Mapping[str, np.ndarray], extra_outputs: Sequence[str] = (), threads: int = 0
) -> dict[str, np.ndarray]:
    """Outputs by name, in the graph's order, then `extra_outputs`: values such as `down_1_block_0`.

    inputs: arrays of the graph's dtypes, by input name; inputs that the graph never uses may be present.
    A name that the graph does not have is left out: a node that a lowering folded away, or one that is an output.
    Raises what ONNX Runtime raises.
    """
    with _exposing(path, extra_outputs) as file:
        runner = session(file, threads)
        wanted = [value.name for value in runner.get_outputs()]
        known = {value.name for value in runner.get_inputs()}
        results = runner.run(wanted, {name: array for name, array in inputs.items() if name in known})
    return dict(zip(wanted, results, strict=True))


def exposing(model: onnx.ModelProto, extra_outputs: Sequence[str]) -> onnx.ModelProto:
    """The graph with more of its values as outputs; names that it does not have are left out."""
    wider = onnx.ModelProto()
    wider.CopyFrom(model)
    present = {value.name for value in model.graph.output}
    known = {value.name: value for value in model.graph.value_info}
    wider.graph.output.extend(known[name] for name in extra_outputs if name in known and name not in present)
    return wider


@contextmanager
def _exposing(path: Path, extra_outputs: Sequence[str]) -> Iterator[Path]:
    """A graph beside `path` (weights are found relative to it) that also returns the values asked for."""
    if not extra_outputs:
        yield path
        return
    model = exposing(onnx.load(path, load_external_data=False), extra_outputs)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".exposing-", suffix=".onnx")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(model.SerializeToString())
        yield Path(name)
    finally:
        Path(name).unlink()
