"""NS537: every input of named sizes has an optimization profile that fits."""

from __future__ import annotations

from collections.abc import Iterator

from exporters.tensorrt.gate.graph import Shape
from exporters.tensorrt.gate.profile import POINTS, Profile
from exporters.tensorrt.gate.report import Finding
from exporters.tensorrt.gate.rules.case import Case

_REMEDY = "give min, opt and max sizes that the input can have"


def check(case: Case) -> Iterator[Finding]:
    dynamic = {name: kind.shape for name, kind in case.graph.inputs.items() if not _is_fixed(kind.shape)}
    if case.profile is None:
        if dynamic:
            names = ", ".join(f"`{name}`" for name in dynamic)
            remedy = "write profile.json beside the file, or give --profile: an engine cannot be built without sizes"
            yield Finding(
                "NS537", "", f"no profile says how large {names} may be; sizes are unchecked", remedy, "warning"
            )
        return
    for name in case.profile.sizes:
        if name not in case.graph.inputs:
            yield Finding("NS537", name, "the profile names an input that the graph does not have", "leave it out")
    for name, kind in case.graph.inputs.items():
        if name not in case.profile.sizes:
            if name in dynamic:
                yield Finding("NS537", name, "the profile has no sizes for this input", _REMEDY)
        elif reason := _misfit(case.profile, name, kind.shape):
            yield Finding("NS537", name, reason, _REMEDY)
    if not (found := case.at) or not found.unknown:
        return
    reason = f"the sizes of {found.unknown} values cannot be told at the profile's max; they are unchecked"
    yield Finding("NS537", "", reason, "simplify the graph: fold constants and shape arithmetic", "warning")


def _is_fixed(shape: Shape | None) -> bool:
    return shape is not None and all(isinstance(size, int) for size in shape)


def _misfit(profile: Profile, name: str, declared: Shape | None) -> str:
    """Why the profile's sizes of an input cannot be."""
    points = profile.sizes[name]
    low, opt, high = (points[point] for point in POINTS)
    if declared is None or not len(low) == len(opt) == len(high) == len(declared):
        return f"the profile has {len(high)} sizes for an input of {len(declared or ())} dimensions"
    for size, at_min, at_opt, at_max in zip(declared, low, opt, high, strict=True):
        if not at_min <= at_opt <= at_max:
            return f"min, opt and max are not in order: {at_min}, {at_opt}, {at_max}"
        if isinstance(size, int) and {at_min, at_opt, at_max} != {size}:
            return f"the graph fixes a size at {size}; the profile says {at_min} to {at_max}"
    return ""
