"""The resolved spec that travels inside a weights file or a graph: a lone file can rebuild its network."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from netspec.errors import Diagnostic, WeightsError
from netspec.weights.header import read_header

SPEC_KEY = "netspec.spec"


def spec_text(path: str | Path) -> str | None:
    """The spec inside a `.safetensors` or `.onnx` file that netspec wrote; None for any other kind of file.

    Raises WeightsError (NS619) where such a file holds no spec, and what reading its header raises.
    """
    reader = _READERS.get(Path(path).suffix)
    if reader is None:
        return None
    metadata = reader(Path(path))
    if SPEC_KEY not in metadata:
        raise WeightsError(
            Diagnostic(
                "NS619",
                f"{path} holds no spec: netspec did not write it",
                help=(f"name the spec of its network; `netspec import {path} -o spec.yaml` writes one",),
            )
        )
    return metadata[SPEC_KEY]


def _safetensors(path: Path) -> dict[str, str]:
    return dict(read_header(path).metadata)


def _onnx(path: Path) -> dict[str, str]:
    import onnx  # 0.2 s, needed for this alone

    try:
        model = onnx.load(path, load_external_data=False)
    except Exception as error:  # protobuf and the file system raise what they like
        reason = error.strerror if isinstance(error, OSError) else error
        raise WeightsError(Diagnostic("NS607", f"cannot read {path}: {reason}")) from error
    return {entry.key: entry.value for entry in model.metadata_props}


_READERS: dict[str, Callable[[Path], dict[str, str]]] = {".safetensors": _safetensors, ".onnx": _onnx}
