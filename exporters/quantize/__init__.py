"""Quantised graphs: scales from the diffusion process, Q/DQ by role, and a measured bound that the outputs hold.

    writing = quantise(request, folder, flavour, SCHEMES["trt-int8"], Settings(sqnr=20))
    (graph, weights, report, table) = writing.files

writes `model.onnx` with its own `model.safetensors`, `quantization.json` and `quantization.txt` into a target's folder.
Which layers are quantised is what `request.precision` says, less those that cost more than the bound allows.

scheme.py       what a runtime wants: types, zero points, which operators
samples.py      inputs to measure on: noised over time, or the user's own file
histogram.py    values seen and the range that loses least
calibration.py  the float network run on the samples
numbers.py      tensors as whole numbers and scales
weights.py      the target's file of weights, layer by layer
insertion.py    Q and DQ in the graph
sqnr.py         signal to noise of outputs and blocks
search.py       which layers stay in float, until the bound holds
report.py       what was done, as data and as a table
"""

from exporters.quantize.scheme import SCHEMES, Scheme
from exporters.quantize.search import Writing, quantise
from exporters.quantize.settings import BLOCK, SQNR, SQNR_4, Settings, refusals, tolerance

__all__ = [
    "BLOCK",
    "SCHEMES",
    "SQNR",
    "SQNR_4",
    "Scheme",
    "Settings",
    "Writing",
    "quantise",
    "refusals",
    "tolerance",
]
