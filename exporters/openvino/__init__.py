"""The `openvino` target: an IR that OpenVINO reads, in float32, float16, bfloat16 or int8.

exporter.py     the target
conversion.py   ONNX → an OpenVINO model with our names, bounded sizes, the spec inside
upsampling.py   nearest upsampling and its convolution as four small convolutions
halves.py       weights in half precision
quantised.py    int8 by NNCF, with layers given back until the outputs hold a bound
runtime.py      running an IR for parity; engine.py: for `netspec bench`

engine.py imports neither torch nor what writes the files; so the exporter is imported when asked for.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from exporters.openvino.exporter import OpenVINOExporter

__all__ = ["OpenVINOExporter"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from exporters.openvino.exporter import OpenVINOExporter

    return OpenVINOExporter
