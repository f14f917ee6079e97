"""NS538: inputs have a dimension. A timestep without one is a classic cause of black images."""

from __future__ import annotations

from collections.abc import Iterator

from exporters.tensorrt.gate.report import Finding
from exporters.tensorrt.gate.rules.case import Case


def check(case: Case) -> Iterator[Finding]:
    for name, kind in case.graph.inputs.items():
        if kind.shape == ():
            reason = "a scalar input has no batch: buffers bound for it are read past their end or as another type"
            yield Finding("NS538", name, reason, "export it as [batch] or [1], such as a timestep for each image")
