"""The pages as data: what the registry holds, in the order in which a reader meets it."""

from __future__ import annotations

import inspect
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from netspec import conventions, registry, schema
from netspec.examples import own
from netspec.fields import Choice, Either, Field, FieldType, ListOf, Optional, RecordOf, Scalar, Slot
from netspec.reference import words
from netspec.reference.examples import example
from netspec.reference.usage import Usage
from netspec.reference.words import anchor, code, flow
from netspec.registry import Component, Record, declared

TEMPLATES = Path(__file__).parent.parent / "templates"


@dataclass(frozen=True)
class Key:
    """One key: what it means, what it takes, what holds without it, one example, and the specs that write it."""

    name: str
    meaning: str
    takes: str
    default: str
    example: str
    specs: tuple[str, ...]


@dataclass(frozen=True)
class Section:
    """One record or component. `definition` is its name in the schema; `components` are the specs that hold it."""

    definition: str
    title: str
    text: str
    example: str = ""
    keys: tuple[Key, ...] = ()
    holders: tuple[str, ...] | None = None
    depth: int = 2


@dataclass(frozen=True)
class Page:
    """One file of the reference."""

    name: str
    title: str
    text: str
    sections: tuple[Section, ...]


def pages(usage: Usage) -> list[Page]:
    """A page per family, then one per package of components."""
    catalogue = _Catalogue(usage)
    families = [catalogue.family(cls) for _, cls in sorted(registry.named("family").items())]
    kinds: dict[str, list[type[Component]]] = defaultdict(list)
    for kind, base in sorted(registry.kinds().items()):
        if kind != "family" and base.tag:
            kinds[package(base)].append(base)
    return [*families, *(catalogue.package(name, bases) for name, bases in sorted(kinds.items()))]


def package(base: type[Component]) -> str:
    """The package that a kind lives in, which names its page."""
    return base.__module__.split(".")[1]


def address(kind: str) -> str:
    """Where a kind is described: `norms.md`, `resample.md#downsample`."""
    base = registry.kinds()[kind]
    alone = sum(package(each) == package(base) for each in registry.kinds().values()) == 1
    return f"{package(base)}.md" if alone else f"{package(base)}.md#{anchor(_title(kind))}"


class _Catalogue:
    """Writes records down as sections."""

    def __init__(self, usage: Usage) -> None:
        self.usage = usage
        self.homes = list(_homes())
        self.changes = _changes(self.homes)
        self.among = usage.specs  # whose use of a key the sections tell

    def family(self, cls: type[Component]) -> Page:
        self.among = self.usage.components.get(schema.def_name(cls), [])  # families share kinds of rows
        path = TEMPLATES / f"{cls.name}.yaml"
        shown = path.read_text("utf-8").partition("\n")[2] if path.exists() else f"{cls.name}: {cls.example}\n"
        first = self._section(cls, cls.name, cls.name, shown)
        silent = f"Where a spec names no convention, `{cls.convention}` holds."  # type: ignore[attr-defined]
        return Page(f"{cls.name}.md", _heading(cls), silent, (first, *self._nested(cls, cls.name, 2)))

    def package(self, name: str, bases: list[type[Component]]) -> Page:
        self.among = self.usage.specs
        text = inspect.getdoc(sys.modules[f"netspec.{name}"]) or ""
        sections: list[Section] = []
        for base in bases:
            alone = len(bases) == 1
            places = self._places(base)
            title = "Where it stands" if alone else _title(base.kind)
            sections.append(Section("", title, f"{inspect.getdoc(base)}\n\n{places}"))
            for cls in (registry.named(base.kind)[each] for each in sorted(registry.named(base.kind))):
                depth, title = (2, cls.name) if alone else (3, f"{base.kind}: {cls.name}")
                sections.append(self._section(cls, title, title, self._shown(base, cls), depth))
                sections += self._nested(cls, title, depth + 1)
        return Page(f"{name}.md", name.capitalize(), text, tuple(sections))

    def _section(self, cls: type[Record], title: str, where: str, shown: str = "", depth: int = 2) -> Section:
        definition = schema.def_name(cls)
        holders = tuple(self.usage.components.get(definition, ())) if words.has_section(cls) else None
        if issubclass(cls, Component) and cls.kind == "family":
            holders = tuple(self.usage.components.get(definition, ()))
        keys = tuple(self._key(cls, field, where) for field in declared(cls).values())
        return Section(definition, title, inspect.getdoc(cls) or "", shown, keys, holders, depth)

    def _nested(self, cls: type[Record], where: str, depth: int) -> Iterator[Section]:
        """The records inside a record, each under the path where it is written."""
        for field in declared(cls).values():
            for record, title in _records(field.type, f"{where}.{field.name}"):
                if words.has_section(record):
                    continue
                yield self._section(record, title, title, depth=depth)
                yield from self._nested(record, title, depth)

    def _key(self, cls: type[Record], field: Field, where: str) -> Key:
        definition = schema.def_name(cls)
        inherited = f"; settings start from `{field.param.inherits}` of the family" if field.param.inherits else ""
        shown = example(cls, field, self.usage, self._alike(field))
        return Key(
            name=field.name,
            meaning=field.param.doc + inherited,
            takes=words.takes(field, where, address),
            default="; ".join([words.default(field), *self._other_defaults(definition, field)]),
            example=f"{field.name}: {flow(shown)}",
            specs=tuple(name for name in self.usage.keys.get((definition, field.name), ()) if name in self.among),
        )

    def _alike(self, field: Field) -> list[tuple[str, str]]:
        """The places where a key of the same name takes the same; numbers have bounds of their own."""
        if isinstance(_bare(field.type), Scalar):
            return []
        records = dict.fromkeys(record for record, _ in self.homes)
        same = [each for each in records if (other := declared(each).get(field.name)) and other.type == field.type]
        return [(schema.def_name(each), field.name) for each in same]

    def _other_defaults(self, definition: str, field: Field) -> Iterator[str]:
        """What conventions, and places that hold the component, make of the default."""
        by_value: dict[str, list[str]] = defaultdict(list)
        for name in conventions.names():
            settings = conventions.settings(name).get(definition, {})
            if field.name in settings:
                by_value[flow(settings[field.name])].append(f"under convention `{name}`")
        for place, value in self.changes.get((definition, field.name), ()):
            by_value[flow(value)].append(f"in `{place}`")
        for value, places in by_value.items():
            yield f"{code(value)} {words.listed(places, 'and')}"

    def _places(self, base: type[Component]) -> str:
        """The keys that hold a component of a kind, with their defaults."""
        found = [
            f"- `{home}.{field.name}`, by default {words.default(field)}" if isinstance(field.default, Choice) else
            f"- `{home}.{field.name}`, by default `none`"
            for cls, home in self.homes
            for field in declared(cls).values()
            if _is_slot(field.type, base)
        ]  # fmt: skip
        if base.kind == "embed":
            found.insert(0, "- `conditioning`, one for each vector")
        return "\n".join(found)

    def _shown(self, base: type[Component], cls: type[Component]) -> str:
        """A component's example under the key that usually holds it."""
        if base.kind == "embed":
            return f"conditioning: {flow({'c': own(cls)})}\n"
        names = [f.name for r, _ in self.homes for f in declared(r).values() if _is_slot(f.type, base)]
        return f"{max(names, key=names.count) if names else base.kind}: {flow(own(cls))}\n"


def _is_slot(kind: FieldType, base: type[Component]) -> bool:
    bare = _bare(kind)
    return isinstance(bare, Slot) and bare.kind is base


def _bare(kind: FieldType) -> FieldType:
    return _bare(kind.item) if isinstance(kind, Optional) else kind


def _title(kind: str) -> str:
    """The heading of a kind on a page of several."""
    return f"Kind: {kind}"


def _heading(cls: type[Component]) -> str:
    """The first sentence of a family's module, as a title."""
    first = (inspect.getdoc(sys.modules[cls.__module__]) or cls.name).partition(":")[0].rstrip(".")
    return f"{cls.name}: {first[:1].lower()}{first[1:]}"


def _records(kind: FieldType, title: str) -> Iterator[tuple[type[Record], str]]:
    match kind:
        case Optional(item):
            yield from _records(item, title)
        case ListOf(item):
            yield from _records(item, f"{title}[]")
        case Either(items):
            for item in items:
                yield from _records(item, title)
        case RecordOf(record):
            yield record, title


def _homes() -> Iterator[tuple[type[Record], str]]:
    """Every record that a spec can reach and how a reader calls it: `unet.levels[]`, `resnet`."""
    for kind, base in sorted(registry.kinds().items()):
        for name, cls in sorted(registry.named(kind).items()) if base.tag or kind == "family" else ():
            yield from _below(cls, name if kind in ("family", "block") else f"{kind}.{name}")


def _below(cls: type[Record], home: str) -> Iterator[tuple[type[Record], str]]:
    yield cls, home
    for field in declared(cls).values():
        for record, title in _records(field.type, f"{home}.{field.name}"):
            yield from _below(record, title)


def _changes(homes: Iterable[tuple[type[Record], str]]) -> dict[tuple[str, str], list[tuple[str, object]]]:
    """(definition, key) → the places whose own default gives the key another value."""
    found: dict[tuple[str, str], list[tuple[str, object]]] = defaultdict(list)
    for cls, home in homes:
        for field in declared(cls).values():
            kind = _bare(field.type)
            if not isinstance(field.default, Choice):
                continue
            match kind:
                case Slot(base):
                    target: type[Record] = registry.named(base.kind)[field.default.name]
                case RecordOf(record):
                    target = record
                case _:
                    continue
            for key, value in field.default.settings.items():
                found[schema.def_name(target), key].append((f"{home}.{field.name}", value))
    return found
