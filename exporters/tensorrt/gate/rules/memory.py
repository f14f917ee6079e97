"""NS540: the network fits into the GPU's memory that was stated."""

from __future__ import annotations

from collections.abc import Iterator

from exporters.tensorrt.gate.graph import tensor_bytes, tensors
from exporters.tensorrt.gate.report import Finding
from exporters.tensorrt.gate.rules.case import Case


def check(case: Case) -> Iterator[Finding]:
    """Weights, and values alive at once at the profile's max: an estimate, as workspaces add and fusions take away."""
    if case.memory is None:
        return
    weights = sum(tensor_bytes(each) for each in tensors(case.graph.model))
    needed = weights + case.activations
    if needed > case.memory:
        reason = (
            f"it needs about {needed / 1e9:.1f} GB, weights {weights / 1e9:.1f} and values alive at once "
            f"{case.activations / 1e9:.1f}; {case.memory / 1e9:.1f} GB were stated"
        )
        remedy = "lower the profile's max, choose a smaller precision, or stream weights"
        yield Finding("NS540", "", reason, remedy)
    elif case.at is None:
        yield Finding(
            "NS540",
            "",
            "weights fit into the memory that was stated; values are unchecked",
            "give a profile",
            "warning",
        )
