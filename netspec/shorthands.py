"""shorthand(): the key that a bare name or number stands for, at any place of a spec."""

from __future__ import annotations

from netspec.errors import SpecPath
from netspec.fields import Either, FieldType, ListOf, Optional, RecordOf, Slot
from netspec.registry import declared, kinds, named


def shorthand(path: SpecPath, value: object) -> str | None:
    """`unet.levels[1]: 128` is `{channels: 128}`, `unet.block.norm: rms` is `{type: rms}`.

    None where a bare value is short for nothing, or the path is no place that the language knows.
    """
    head, *rest = path
    if head == "conditioning" and rest:
        kind: FieldType | None = Slot(kinds()["embed"])
        rest = rest[1:]  # a name of the user's
        if not rest:
            return kinds()["embed"].tag
    elif head in named("family"):
        kind = RecordOf(named("family")[str(head)])
    else:
        return None
    for part in rest:
        kind = _step(kind, part)
        if kind is None:
            return None
    match _bare(kind):
        case RecordOf(record):
            return record.shorthand or None
        case Slot(base) if isinstance(value, str):
            return base.tag or None
        case Slot(base) if base.usual:
            return named(base.kind)[base.usual].shorthand or None
        case _:
            return None


def _step(kind: FieldType | None, part: str | int) -> FieldType | None:
    """The type of one field of a record, or of one item of a list."""
    match _bare(kind):
        case ListOf(item) if isinstance(part, int):
            return item
        case RecordOf(record) if part in declared(record):
            return declared(record)[str(part)].type
        case Slot(base):  # any component of the kind that has such a field
            owners = (cls for cls in named(base.kind).values() if part in declared(cls))
            return next((declared(cls)[str(part)].type for cls in owners), None)
        case _:
            return None


def _bare(kind: FieldType | None) -> FieldType | None:
    match kind:
        case Optional(item):
            return _bare(item)
        case Either(items):
            return next((item for item in items if isinstance(item, ListOf)), None)
        case _:
            return kind
