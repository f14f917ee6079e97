"""A document that may be wrong, read without falling over: what relations.py asks of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from netspec import registry
from netspec.document import Document
from netspec.errors import SpecPath
from netspec.fields import Choice, Either, Field, FieldType, ListOf, Optional, RecordOf, Slot
from netspec.registry import Component, Record
from netspec.tensors import factored


@dataclass(frozen=True)
class View:
    """A document that may be wrong, read without falling over."""

    document: Document

    def mapping(self, *path: str) -> Mapping[str, Any]:
        """The mapping at a path; an empty one where there is none."""
        value: Any = self.document.data
        for part in path:
            value = value.get(part) if isinstance(value, dict) else None
        return value if isinstance(value, dict) else {}

    @property
    def families(self) -> list[str]:
        """The family keys of the spec, in the order written."""
        known = registry.named("family")
        return [key for key in self.document.data if key in known]

    def shapes(self) -> Iterator[tuple[SpecPath, list[Any]]]:
        """Every list of sizes."""
        for group in ("inputs", "outputs"):
            for name, value in self.mapping(group).items():
                path: SpecPath = (group, name)
                if isinstance(value, dict):
                    path, value = (*path, "shape"), value.get("shape")
                if isinstance(value, list):
                    yield path, value
        if isinstance(output := self.document.data.get("output"), list):
            yield ("output",), output

    def words(self) -> Iterator[tuple[SpecPath, str]]:
        """Every word that stands for a size, alone or in an expression."""
        for path, sizes in self.shapes():
            for index, size in enumerate(sizes):
                if isinstance(size, str):
                    found = factored(size)
                    yield (*path, index), found[0] if found else size


def shared_default(family: str, field: Field) -> Any:
    """The default of the shared settings that an inheriting field starts from."""
    shared = registry.declared(registry.named("family")[family]).get(field.param.inherits)
    return shared.default if shared else field.default


def component_name(base: type[Component], value: Any, default: Any) -> str:
    """The name of the component that a slot's value stands for, whether or not it exists."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict) and isinstance(name := value.get(base.tag), str):
        return name
    return registry.usual_name(base, default)


def family_values(view: View) -> Iterator[tuple[Field, Any, SpecPath]]:
    """Every value below the family key, with the field that it is written for."""
    for family in view.families:
        yield from _fields(registry.named("family")[family], view.document.data[family], (family,))


def embed_values(view: View) -> Iterator[tuple[Field, Any, SpecPath]]:
    """Every value below an entry of `conditioning`, likewise."""
    base = registry.kinds()["embed"]
    for name, value in view.mapping("conditioning").items():
        if (rule := registry.named("embed").get(component_name(base, value, None))) is not None:
            yield from _fields(rule, value, ("conditioning", name))


def _fields(record: type[Record], value: Any, path: SpecPath) -> Iterator[tuple[Field, Any, SpecPath]]:
    if isinstance(value, str) and record.shorthand and not issubclass(record, Component):
        yield registry.declared(record)[record.shorthand], value, path
    if not isinstance(value, dict):
        return
    for name, field in registry.declared(record).items():
        if name in value:
            yield field, value[name], (*path, name)
            yield from _inside(field.type, field, value[name], (*path, name))


def _inside(kind: FieldType, field: Field, value: Any, path: SpecPath) -> Iterator[tuple[Field, Any, SpecPath]]:
    match kind:
        case Optional(item):
            yield from _inside(item, field, value, path)
        case RecordOf(record):
            yield from _fields(record, value, path)
        case ListOf(item) if isinstance(value, list):
            for index, each in enumerate(value):
                yield from _inside(item, field, each, (*path, index))
        case Either(items):
            for item in items:
                yield from _inside(item, field, value, path)
        case Slot(base) if isinstance(value, dict):
            default = shared_default(str(path[0]), field) if field.param.inherits else field.default
            name = component_name(base, value, default if isinstance(default, Choice) else None)
            if name in registry.named(base.kind):
                yield from _fields(registry.named(base.kind)[name], value, path)
