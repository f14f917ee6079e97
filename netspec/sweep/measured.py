"""measured(): the first points of a front, built with random weights and timed on ONNX Runtime. Needs torch."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from netspec import compiler
from netspec.bench import measure
from netspec.spec import Expect, Precision, Target
from netspec.sweep.costing import spec_of
from netspec.sweep.outcome import Outcome

TARGET = "onnx"
SECONDS = 5.0  # of measuring each


def measured(outcome: Outcome, count: int, progress: Callable[[str], None] = lambda text: None) -> Outcome:
    """The outcome with the median milliseconds of its first `count` points of the front, at `opt`, in float32.

    Each is built into a temporary folder, one after another, timed and removed. Raises what a build raises.
    """
    times = {}
    first = [point.index for point in outcome.points if point.index in outcome.best][:count]
    for number, index in enumerate(first):
        told = f"{number + 1} of {len(first)}"
        with tempfile.TemporaryDirectory(prefix="netspec-sweep-") as folder:
            place = Path(folder, "net")
            plain = Target("onnx", Precision())
            spec = replace(
                spec_of(outcome.grid, index), targets=MappingProxyType({TARGET: plain}), expect=Expect(), variants=()
            )
            progress(f"{told}: building")
            compiler.compile(spec, place, compiler.Options(parity=False))
            options = measure.Options(backends=[TARGET], seconds=SECONDS)
            report = measure.measure(place, options, lambda text, told=told: progress(f"{told}: {text}"))  # type: ignore[misc]
        for timing in report.timings:
            times[index] = 1e3 * timing.median
    return replace(outcome, measured=MappingProxyType(times))
