"""match(): the shipped spec that describes a network, where one does."""

from __future__ import annotations

from netspec import api, planner, shipped
from netspec.errors import SpecError
from netspec.importers.comparing import differences
from netspec.plan import Plan


def match(plan: Plan) -> str:
    """`unet/sd15`, or `unet/sd15 --variant inpainting`; "" where there is none. A file states its counts: most need
    not be loaded."""
    for name in shipped.names():
        path = shipped.folder() / f"{name}.yaml"
        if str(plan.cost.params) not in path.read_text(encoding="utf-8"):
            continue
        for variant in (None, *api.load(path).variants):
            if _is(plan, path, variant):
                return f"{name} --variant {variant}" if variant else name
    return ""


def _is(plan: Plan, path: object, variant: str | None) -> bool:
    try:
        other = planner.lower(api.load(str(path), variant=variant))
    except SpecError:  # somebody changed a shipped file
        return False
    return type(other.spec.family) is type(plan.spec.family) and not [*differences(plan, other)]
