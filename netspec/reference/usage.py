"""Which keys each shipped spec writes, and which components its network holds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from netspec import document, layers, planner, registry, schema
from netspec import spec as specs
from netspec.fields import Either, Field, FieldType, ListOf, Optional, RecordOf, Slot
from netspec.registry import Component, Record, declared, named

Place = tuple[str, str]  # a definition of the schema ("" for the top level) and one of its keys

_NAMED = ("inputs", "outputs", "dims", "targets")  # top-level keys whose values are mappings by name


@dataclass
class Usage:
    """Shipped specs by what they write. A spec writes a key when its file, one of its variants, or a file that it
    extends does; a component is used when it stands in the network, written or by default."""

    specs: list[str] = field(default_factory=list)
    keys: dict[Place, list[str]] = field(default_factory=lambda: defaultdict(list))
    values: dict[Place, list[Any]] = field(default_factory=lambda: defaultdict(list))
    components: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))


def usage(folder: Path) -> Usage:
    """What the specs below `folder` use, in the order of their names."""
    found = Usage()
    registry.load_all()
    for path in sorted(folder.rglob("*.yaml")):
        name = path.relative_to(folder).with_suffix("").as_posix()
        found.specs.append(name)
        for place, value in _written(path):
            _note(found.keys[place], name)
            found.values[place].append(value)
        for component in _held(path):
            _note(found.components[component], name)
    return found


def _note(names: list[str], name: str) -> None:
    if name not in names:
        names.append(name)


def _forms(path: Path) -> Iterator[document.Document]:
    """The spec of a file, and each of its variants."""
    loaded = document.load(path)
    for variant in (None, *loaded.data.get("variants", {})):
        yield layers.compose(loaded, variant=variant)


def _written(path: Path) -> Iterator[tuple[Place, Any]]:
    if "extends" in (own := document.load(path).data):
        yield ("", "extends"), own["extends"]
    for form in _forms(path):
        for key, value in form.data.items():
            yield ("", key), value
            if key in named("family"):
                yield from _Walk(value).record(named("family")[key], value)
            elif key == "conditioning":
                for embed in value.values():
                    yield from _Walk({}).slot(registry.kinds()["embed"], embed, None)
            elif isinstance(value, Mapping):
                for inner in value.values() if key in _NAMED else (value,):
                    yield from (((key, name), item) for name, item in _items(inner))


def _items(value: Any) -> list[tuple[str, Any]]:
    return list(value.items()) if isinstance(value, Mapping) else []


class _Walk:
    """Follows the keys of one family's settings; `shared` are those settings, which rows inherit from."""

    def __init__(self, shared: Mapping[str, Any]) -> None:
        self.shared = shared

    def record(self, record: type[Record], value: Any) -> Iterator[tuple[Place, Any]]:
        if not isinstance(value, Mapping):
            value = {record.shorthand: value} if record.shorthand else {}
        for key, each in declared(record).items():
            if key in value:
                yield (schema.def_name(record), key), value[key]
                yield from self._field(each.type, value[key], each)

    def _field(self, kind: FieldType, value: Any, owner: Field) -> Iterator[tuple[Place, Any]]:
        match kind:
            case _ if value == "none":
                return
            case Optional(item):
                yield from self._field(item, value, owner)
            case ListOf(item) if isinstance(value, list):
                for each in value:
                    yield from self._field(item, each, owner)
            case Either(items):
                for each_kind in items:
                    yield from self._field(each_kind, value, owner)
            case RecordOf(record):
                yield from self.record(record, value)
            case Slot(base):
                yield from self.slot(base, value, owner)
            case _:
                return

    def slot(self, base: type[Component], value: Any, owner: Field | None) -> Iterator[tuple[Place, Any]]:
        """A component's own keys; where it has no name, that of the shared settings or of the default holds."""
        fallback = owner.default if owner else None
        if owner and owner.param.inherits:
            shared = self.shared.get(owner.param.inherits)
            cls, _ = registry.select(base, shared if shared is not None else {}, fallback)
        if not (owner and owner.param.inherits) or isinstance(value, str) or base.tag in _keys(value):
            cls, _ = registry.select(base, value, fallback)
        if not isinstance(value, str):
            yield from self.record(cls, value)


def _keys(value: Any) -> set[str]:
    return set(value) if isinstance(value, Mapping) else set()


def _held(path: Path) -> Iterator[str]:
    for form in _forms(path):
        spec = specs.resolve(form)
        yield schema.def_name(type(spec.family))
        for node in planner.lower(spec):
            yield from _components(node.component)


def _components(value: Any) -> Iterator[str]:
    if isinstance(value, tuple):
        for item in value:
            yield from _components(item)
    if isinstance(value, Record):
        if isinstance(value, Component):
            yield schema.def_name(type(value))
        for name in declared(type(value)):
            yield from _components(getattr(value, name))
