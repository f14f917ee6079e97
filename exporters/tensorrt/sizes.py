"""The sizes that an engine is built for: min, opt and max of every input, from the spec's `dims`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from netspec.plan import Plan
from netspec.planner.points import Env
from netspec.spec import Dim
from netspec.target import ExportRequest, Port

Profile: TypeAlias = Mapping[str, Mapping[str, list[int]]]  # input → "min", "opt", "max" → sizes
POINTS = ("min", "opt", "max")


def batch_word(request: ExportRequest) -> str | None:
    """The name of the batch size: what every input begins with; None where it is a number, or there is none."""
    first = {port.shape[0] for port in request.inputs if port.shape}
    word = next(iter(first)) if len(first) == 1 else None
    return word if isinstance(word, str) else None


def profile_of(request: ExportRequest, guidance: bool) -> Profile:
    """Sizes of every input, those of fixed size too. Under `guidance`, classifier-free (Ho & Salimans 2022,
    arXiv:2207.12598), a batch is run with its condition and without: twice as many samples."""
    return {
        port.name: {point: _shape(request, port, environment(request, point, guidance)) for point in POINTS}
        for port in request.inputs
    }


def environment(request: ExportRequest, point: str, guidance: bool) -> Env:
    """Every symbolic size at one of the points."""
    found = {name: getattr(dim, point) for name, dim in _dims(request).items()}
    if guidance and (word := batch_word(request)) is not None:
        found[word] *= 2
    return found


def _shape(request: ExportRequest, port: Port, env: Env) -> list[int]:
    plan = _plan(request)
    return [int(size.evaluate(dict(env))) for size in plan.inputs[port.name].shape]


def _dims(request: ExportRequest) -> Mapping[str, Dim]:
    plan = _plan(request)
    words = {word for kind in plan.inputs.values() for size in kind.shape for word in size.words}
    return {name: dim for name, dim in plan.spec.dims.items() if name in words}


def _plan(request: ExportRequest) -> Plan:
    assert request.plan is not None  # a deployment always has one
    return request.plan
