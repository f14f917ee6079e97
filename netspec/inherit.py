"""spread(): shared settings of a family laid under the rows that start from them, as plain data.

`unet.transformer: {num_heads: 8}` and a level's `transformer: 2` give that level `{depth: 2, num_heads: 8}`. The
inherited values keep the place where they were written, so that an error about them points there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from netspec.document import Place
from netspec.errors import SpecPath
from netspec.fields import Choice, Field, ListOf, Optional, RecordOf, Slot
from netspec.registry import Component, Record, declared, named, usual_name

Places = dict[SpecPath, Place]


def spread(
    family: type[Record], settings: Mapping[str, Any], root: SpecPath, places: Mapping[SpecPath, Place]
) -> tuple[dict[str, Any], Mapping[SpecPath, Place]]:
    """The family's settings with every inheriting field complete, and places for what was filled in."""
    added: Places = {}
    spreader = _Spreader(family, settings, root, places, added)
    complete = spreader.record(family, settings, root)
    return complete, {**added, **places}


class _Spreader:
    """The walk over one family's settings."""

    def __init__(
        self,
        family: type[Record],
        shared: Mapping[str, Any],
        root: SpecPath,
        places: Mapping[SpecPath, Place],
        added: Places,
    ) -> None:
        self.family, self.shared, self.root, self.places, self.added = family, shared, root, places, added

    def record(self, record: type[Record], value: Any, path: SpecPath) -> Any:
        """One record's data, its inheriting fields completed, its nested records walked."""
        if not isinstance(value, Mapping):
            self._note_shorthand(record, value, path)
            return value
        complete = dict(value)
        for field in declared(record).values():
            where = (*path, field.name)
            if field.param.inherits:
                given = self._inherit(field, complete.get(field.name), where)
            else:
                given = self._nested(field, complete.get(field.name), where)
            if given is not None:
                complete[field.name] = given
        return complete

    def _nested(self, field: Field, value: Any, path: SpecPath) -> Any:
        kind = field.type.item if isinstance(field.type, Optional) else field.type
        match kind:
            case ListOf(RecordOf(record)) if isinstance(value, list):
                return [self.record(record, item, (*path, index)) for index, item in enumerate(value)]
            case RecordOf(record):
                return self.record(record, value, path)
            case Slot(base) if value not in (None, "none"):
                data = _as_mapping(base, value, field.default)
                component = named(base.kind)[data[base.tag]]
                self._note_shorthand(component, value, path)
                complete = self.record(component, data, path)
                return value if complete == data else complete
            case _:
                return value

    def _inherit(self, field: Field, value: Any, path: SpecPath) -> Any:
        kind = field.type.item if isinstance(field.type, Optional) else field.type
        absent = value is None and not isinstance(field.default, Choice)
        if absent or value == "none" or field.param.inherits not in self.shared:
            return value
        owner = declared(self.family)[field.param.inherits]
        assert isinstance(owner.type, Slot)
        base = _as_mapping(owner.type.kind, self.shared[owner.name], owner.default)
        match kind:
            case Slot(slot):
                own = {} if value is None else _as_mapping(slot, value, field.default)
                self._note_shorthand(named(slot.kind)[own.get(slot.tag, base[slot.tag])], value, path)
                same = own.get(slot.tag, base[slot.tag]) == base[slot.tag]
            case RecordOf(record):  # one component only: its name is not a choice
                own = dict(value or {})
                assert issubclass(record, Component)
                same = base.pop(record.tag) == record.name
            case _:
                return value
        if not same:
            return value
        self._place((self.root[0], owner.name), path, base.keys() - own.keys())
        return {**base, **own}

    def _note_shorthand(self, record: type[Record], value: Any, path: SpecPath) -> None:
        """A bare scalar was written for the record's shorthand field: that is the field's place."""
        if record.shorthand and value is not None and not isinstance(value, Mapping | str) and path in self.places:
            self.added[(*path, record.shorthand)] = self.places[path]

    def _place(self, source: SpecPath, target: SpecPath, keys: set[str]) -> None:
        """Note that the values below `target` were written below `source`."""
        for path, place in self.places.items():
            if path[: len(source)] == source and len(path) > len(source) and path[len(source)] in keys:
                self.added[(*target, *path[len(source) :])] = place


def _as_mapping(base: type[Component], value: Any, default: Any) -> dict[str, Any]:
    """A slot's value as a mapping that names its component."""
    match value:
        case str():
            return {base.tag: value}
        case Mapping():
            return {base.tag: usual_name(base, default), **value}
        case _:
            name = usual_name(base, default)
            return {base.tag: name, named(base.kind)[name].shorthand: value}
