"""The `ort` target: a file in ONNX Runtime's own format, which small builds of it read without parsing ONNX."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import onnx
import onnxruntime

from exporters.onnx import runtime
from exporters.onnx.exporter import OnnxExporter
from exporters.quantize import BLOCK
from netspec.errors import Diagnostic, ExportError
from netspec.target import ExportRequest, Runner, Target

SUFFIX = ".ort"
LIMIT = 2**31 - 1  # bytes of a flatbuffer
# ONNX Runtime writes the operator sets of a model and the types of its kernels in the order of a hash table, which
# changes from process to process. The rest of the file, graph and weights, does not.
_STAMPED = "ONNX Runtime writes the tables of operator sets and kernels in no fixed order"


class OrtExporter(Target):
    """ONNX Runtime's own format: graph and weights in one file, optimised for any CPU, for small builds on devices.

    flavour: the operators to prefer; weights that a graph transforms are stored transformed, so not tiles.
    weights_only, calibration, sqnr, block: as of the target `onnx`.
    """

    name: ClassVar[str] = "ort"
    file: ClassVar[str] = "model.ort"
    precisions: ClassVar[Mapping[str, str]] = {
        name: base
        for name, base in OnnxExporter.precisions.items()
        if name != "bf16"  # CPUs have no kernels
    }
    needs_weights: ClassVar[bool] = True
    stamped: ClassVar[str] = _STAMPED
    engine: ClassVar[str] = OnnxExporter.engine

    def __init__(
        self,
        flavour: str = "portable",
        weights_only: bool = False,
        calibration: str | None = None,
        sqnr: float | None = None,
        block: int = BLOCK,
    ) -> None:
        self._onnx = OnnxExporter(flavour, weights_only, calibration, sqnr, block)

    def requires(self, request: ExportRequest) -> Iterator[Diagnostic]:
        return self._onnx.requires(request)

    def tolerance(self, request: ExportRequest) -> float | None:
        return self._onnx.tolerance(request)

    def export(self, request: ExportRequest, folder: Path) -> tuple[Path, ...]:
        with tempfile.TemporaryDirectory(dir=folder, prefix=".graph-") as name:  # on the disk that has room for it
            graph, *more = self._onnx.run(request, Path(name))
            kept = [each for each in more if each.suffix != ".safetensors"]  # what a quantisation says of itself
            return tuple(each.rename(folder / each.name) for each in (to_ort(graph), *kept))

    def runner(self, graph: Path) -> Runner:
        return _Whole(graph)


class _Whole(runtime.Runner):
    """Runs a file whose inner values cannot be asked for."""

    def __call__(self, inputs: Mapping[str, np.ndarray], extra_outputs: Sequence[str] = ()) -> Mapping[str, np.ndarray]:
        return super().__call__(inputs)


def to_ort(path: Path) -> Path:
    """Write a graph and its weights as one file beside it, `model.onnx` as `model.ort`, and return that.

    It is optimised for any CPU, not for the one at hand. Raises ExportError (NS512) where the weights do not fit into
    the format, which ends at 2 GiB.
    """
    size = sum(
        tensor.ByteSize() + _beside(tensor) for tensor in onnx.load(path, load_external_data=False).graph.initializer
    )
    if size > LIMIT:
        raise ExportError(
            Diagnostic(
                "NS512",
                f"{path.name} has {size / 1e9:.1f} GB of weights, a file in ORT format holds 2.1",
                help=("choose `exporter: onnx`, or a smaller precision",),
            )
        )
    target = path.with_suffix(SUFFIX)
    options = runtime.options()
    options.optimized_model_filepath = os.fspath(target)
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.add_session_config_entry("session.save_model_format", "ORT")
    onnxruntime.InferenceSession(os.fspath(path), options, providers=["CPUExecutionProvider"])
    return target


def _beside(tensor: onnx.TensorProto) -> int:
    """Bytes of a tensor that lie in another file."""
    return next((int(entry.value) for entry in tensor.external_data if entry.key == "length"), 0)
