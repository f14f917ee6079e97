"""match(): the shipped spec that describes a network, where one does."""

from __future__ import annotations

from netspec import api, planner, shipped
from netspec.errors import SpecError
from netspec.importers.comparing import differences
from netspec.plan import Plan


def match(plan: Plan) -> str:
    """`unet/sd15`, or `unet/sd15 --variant inpainting`; "" where there is none. Of several it is the first whose
    inputs are as large. A file states its counts: most need not be loaded."""
    found: dict[str, bool] = {}
    for name in shipped.names():
        path = shipped.folder() / f"{name}.yaml"
        if str(plan.cost.params) not in path.read_text(encoding="utf-8"):
            continue
        for variant in (None, *api.load(path).variants):
            try:
                other = planner.lower(api.load(path, variant=variant))
            except SpecError:  # somebody changed a shipped file
                continue
            if type(other.spec.family) is type(plan.spec.family) and not [*differences(plan, other)]:
                found[f"{name} --variant {variant}" if variant else name] = _sizes(other) == _sizes(plan)
    return max(found, key=found.__getitem__, default="")


def _sizes(plan: Plan) -> list[tuple[int, ...]]:
    """The inputs' sizes besides the batch, at `opt`; lengths of texts are a matter of taste."""
    return sorted(tuple(size.opt for size in type_.sizes) for type_ in plan.inputs.values() if type_.layout == "image")
