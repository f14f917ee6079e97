"""export(): a spec as the settings of the diffusers class that can express it.

A class says which settings come closest, they are read back as any file of that class would be, and the two networks
are compared: what differs is what the class cannot express. So no class has a list of its shortcomings, and what is
written is known to come back.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from netspec import planner
from netspec.errors import Diagnostic, ForeignError, path_text
from netspec.importers import Importer, Options, importers
from netspec.importers.comparing import Difference, differences
from netspec.importers.drafts import lowered
from netspec.importers.foreign import Config
from netspec.plan import Plan, describe
from netspec.registry import Record, dump
from netspec.spec import Spec


def export(spec: Spec) -> dict[str, Any]:
    """The `config.json` of the network for diffusers.

    Raises ForeignError: NS646 for every choice that its class cannot express, NS647 where it has no class of that kind.
    """
    plan = planner.lower(spec)
    tried = [(found, _missing(found, plan)) for found in importers().values() if found.fits(spec)]
    if not tried:
        raise ForeignError(_no_class(spec))
    best, missing = next((pair for pair in tried if not pair[1]), tried[0])
    if missing:
        raise ForeignError(*_refusals(best, missing, spec))
    return {"_class_name": best.cls} | best.to_config(plan)


def _missing(importer: type[Importer], plan: Plan) -> list[Difference]:
    """What the closest settings of a class leave out."""
    config = Config.of(importer.to_config(plan), importer.defaults, lenient=True)
    draft = importer.to_spec(config, Options())
    return list(differences(plan, lowered(draft, importer.cls)))


def _refusals(importer: type[Importer], missing: Sequence[Difference], spec: Spec) -> list[Diagnostic]:
    """One finding for each place in the spec: what several rows inherit from one place is one finding."""
    found: dict[Any, Diagnostic] = {}
    written = spec.document.data if spec.document else {}
    for each in missing:
        place = spec.place(each.path if each.path[0] in written else (spec.family.name,))
        span, path = place.key or place.value, path_text(each.path)
        if each.ours is None:
            message, label = f"diffusers' {importer.cls} always has `{path}`", f"it is `{_brief(each.theirs)}` there"
        else:
            message = f"diffusers' {importer.cls} has no `{path}: {_brief(each.ours)}`"
            label = "it has none" if each.theirs is None else f"it has `{_brief(each.theirs)}` there"
        found.setdefault(span.order, Diagnostic("NS646", message, span, label, path=path))
    return [found[order] for order in sorted(found)]


def _no_class(spec: Spec) -> Diagnostic:
    family = spec.family.name
    names = ", ".join(sorted(found.cls for found in importers().values() if found.program == "diffusers"))
    return Diagnostic(
        "NS647",
        f"diffusers has no class for this `{family}`",
        spec.place((family,)).key,
        "none is of this kind",
        help=(f"classes that netspec knows: {names}",),
        path=family,
    )


def _brief(value: Any) -> str:
    text = describe(value) if isinstance(value, Record) else str(dump(value))
    return text if len(text) <= 60 else f"{text[:57]}…"
