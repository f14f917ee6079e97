"""NS539: no value outgrows what TensorRT counts its elements with."""

from __future__ import annotations

from collections.abc import Iterator

from exporters.tensorrt.gate.graph import elements
from exporters.tensorrt.gate.report import Finding
from exporters.tensorrt.gate.rules.case import Case

MOST = 2**31 - 1  # elements of a tensor: NVIDIA/TensorRT issue 3815


def check(case: Case) -> Iterator[Finding]:
    for name in case.written:
        shape = case.at.shapes[name] if case.at is not None else ()
        if elements(shape) <= MOST:
            continue
        sizes = " x ".join(map(str, shape))
        reason = f"{sizes} are {elements(shape):,} elements at the profile's max; TensorRT counts to {MOST:,}"
        remedy = "lower the profile's max; attention in half precision keeps its scores out of memory"
        node = case.graph.producers.get(name)
        yield node.finding("NS539", reason, remedy) if node else Finding("NS539", name, reason, remedy)
