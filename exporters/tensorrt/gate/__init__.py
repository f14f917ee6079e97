"""The gate: is a finished ONNX file ready for a version of TensorRT? Answered from the file alone, without a GPU.

gate.py         gate(): one file, one version, every rule
operators.yaml  what the parser of each version imports; table.py reads it
graph.py        the file as rules see it: nodes, types, constants; inference.py fills in what it does not say
profile.py      min, opt and max of each input, and what they make of every size
attention.py    which values a fused attention never writes
rules/          one file per rule; rules/__init__.py lists them
report.py       findings, the verdict, its text and JSON
"""

from exporters.tensorrt.gate.gate import gate
from exporters.tensorrt.gate.report import Finding, Gate

__all__ = ["Finding", "Gate", "gate"]
