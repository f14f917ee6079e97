"""An example value for every key: what its own words say, what a shipped spec writes, or one made from the type."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from netspec import schema
from netspec.examples import made, told
from netspec.fields import Field
from netspec.reference.usage import Place, Usage
from netspec.reference.words import flow
from netspec.registry import Record

LONGEST = 72


def example(cls: type[Record], field: Field, usage: Usage, alike: Iterable[Place] = ()) -> Any:
    """A value of one key that is valid and short, and not the default where one can be found: from the component's own
    example, or from what shipped specs write there, else at the places that are `alike`."""
    if (found := told(cls, field)) is not None:
        return found
    for place in ((schema.def_name(cls), field.name), *alike):
        if found := shortest(usage.values.get(place, ()), field):
            return found
    return made(field.type, field)


def shortest(values: Iterable[Any], field: Field) -> Any:
    """The shortest of the values that shipped specs write, but not the default; None where there is none."""
    texts = {flow(value): value for value in values}
    usual = {flow(field.default), "none"} if not field.required else set()
    fit = [text for text in texts if text not in usual and len(text) <= LONGEST]
    return texts[min(fit, key=lambda text: (len(text), text))] if fit else None
