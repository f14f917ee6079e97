"""to_ort(): a file in ONNX Runtime's own format, which small builds of it read without parsing ONNX."""

from __future__ import annotations

import os
from pathlib import Path

import onnx
import onnxruntime

from exporters.onnx import runtime
from netspec.errors import Diagnostic, ExportError

SUFFIX = ".ort"
LIMIT = 2**31 - 1  # bytes of a flatbuffer
# ONNX Runtime writes the operator sets of a model and the types of its kernels in the order of a hash table, which
# changes from process to process. The rest of the file, graph and weights, does not.
STAMPED = "ONNX Runtime writes the tables of operator sets and kernels in no fixed order"


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
                help=("leave `format: ort` out, or choose a smaller precision",),
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
