"""From a traced PyTorch network to ONNX, in the operators that a target is fast at.

request.py    what a caller hands in
tracer.py     fx trace that stops at leaves
table.py      leaf → lowering; the lowerings by theme: convolutions, linear, norms, activations, attention,
              shapes, arithmetic, leaves (netspec.ops)
builder.py    the graph under construction; dims.py symbolic sizes, dtypes.py types, weights.py initializers
emit.py       the walk; peephole.py rewrites, channels_last.py those of layout
winograd.py   3x3 convolutions with fewer multiplications
flavour.py    what each runtime prefers
"""

from exporters.lowering.emit import emit
from exporters.lowering.flavour import FLAVOURS, OPENVINO, ORT_CPU, PORTABLE, TENSORRT, TENSORRT_NATIVE, Flavour
from exporters.lowering.packing import pack
from exporters.lowering.table import register
from exporters.lowering.weights import Slot

__all__ = [
    "FLAVOURS",
    "OPENVINO",
    "ORT_CPU",
    "PORTABLE",
    "TENSORRT",
    "TENSORRT_NATIVE",
    "Flavour",
    "Slot",
    "emit",
    "pack",
    "register",
]
