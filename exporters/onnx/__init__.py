"""The `onnx` target: one `model.onnx` beside the weights it refers to.

engine.py runs such files and imports neither torch nor what writes them; so the exporter is imported when asked for.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from exporters.onnx.exporter import OnnxExporter

__all__ = ["OnnxExporter"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from exporters.onnx.exporter import OnnxExporter

    return OnnxExporter
