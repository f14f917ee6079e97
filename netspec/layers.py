"""Layers of a spec, later ones winning: extended files < the file < a variant < `--set`.

Mappings merge; lists and scalars replace; a mapping that names another component replaces as well, since the old
component's settings mean nothing to the new one. `none` over an entry that the author named, such as an input, takes
it out. Every value keeps the place where it was written.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Protocol

from netspec.document import Document, Place, argument_source, load, parse_value
from netspec.errors import (
    Diagnostic,
    DocumentError,
    Label,
    Source,
    Span,
    SpecPath,
    UnknownName,
    UsageError,
    path_text,
)
from netspec.shorthands import shorthand

MAX_EXTENDS = 16
TAGS = ("type", "embed")  # the keys that name a component
NAMED = ("inputs", "outputs", "dims", "conditioning", "targets")  # mappings whose keys are the author's
_PART = re.compile(r"(?:^|(?<=.)\.)([^.\[\]=]+)|\[(\d+)\]")


@dataclass(frozen=True)
class Setting:
    """A value to be laid over a spec: where, as what, and where somebody wrote that."""

    path: SpecPath | None  # None where what is written is no path
    value: Any
    places: Mapping[SpecPath, Place]  # below the value; () is the value
    span: Span  # of the path
    written: str


class Shelf(Protocol):
    """Where files that extend each other stand."""

    def beside(self, name: str, reference: str) -> str:
        """The name of the file that the file `name` refers to."""

    def load(self, name: str) -> Document:
        """Read one. Raises DocumentError."""


class FileSystem:
    """The shelf that most specs stand on."""

    def beside(self, name: str, reference: str) -> str:
        return str(Path(name).parent / reference)

    def load(self, name: str) -> Document:
        return load(name)


FILES = FileSystem()


def compose(
    document: Document, *, variant: str | None = None, settings: Sequence[str] = (), shelf: Shelf = FILES
) -> Document:
    """The document with everything it builds on and everything laid over it.

    `settings` are `path=value` texts. An `expect` holds for the layer that states it: extending, a variant or a
    setting drops those below. Raises UnknownName, DocumentError, UsageError.
    """
    layered = _extended(document, [], shelf)
    if variant is not None:
        layered.lay_variant(variant)
    return lay(Document(document.source, layered.data, layered.places), read_settings(settings))


def lay(document: Document, settings: Sequence[Setting]) -> Document:
    """A composed document with settings laid over it, in their order. Raises UnknownName."""
    if not settings:
        return document
    layered = _Layers(document)
    layered.lay_settings(settings)
    return Document(document.source, layered.data, layered.places)


def read_settings(texts: Sequence[str]) -> list[Setting]:
    """`path=value` texts, as `--set` takes them. Raises UsageError NS921 without `=`, DocumentError for the value."""
    source = argument_source(texts)
    return [_setting(source, index, text) for index, text in enumerate(texts)]


def _setting(source: Source, index: int, text: str) -> Setting:
    key, equals, _ = text.partition("=")
    span = Span(source, index + 1, 1, index + 1, len(key) + 1)
    if not equals:
        raise UsageError(Diagnostic("NS921", f"`--set {text}` has no `=`", span, help=("write --set path=value",)))
    value, places = parse_value(source, index + 1, len(key) + 2)
    return Setting(parse_path(key), value, places, span, key)


def as_setting(path: str, value: object) -> str:
    """A Python override as the text of a `--set` argument."""
    return f"{path}={json.dumps(value)}"


def parse_path(text: str) -> SpecPath | None:
    """`unet.levels[2].channels` as its parts; None where the text is no path."""
    parts: list[str | int] = []
    end = 0
    for match in _PART.finditer(text):
        if match.start() != end:
            return None
        end = match.end()
        parts.append(match[1] if match[1] is not None else int(match[2]))
    return tuple(parts) if parts and end == len(text) else None


def _extended(document: Document, above: list[Path], shelf: Shelf) -> _Layers:
    """The document over the files that it extends. `above` are the files being extended already."""
    layers = _Layers(document)
    reference = layers.data.pop("extends", None)
    if reference is None:
        return layers
    place = document.places[("extends",)]
    if not isinstance(reference, str):
        raise UnknownName(Diagnostic("NS211", "`extends` is the path of one file", place.value, path="extends"))
    here = Path(os.path.realpath(document.source.name))
    chain = [*above, here]
    target = Path(shelf.beside(document.source.name, reference))
    if Path(os.path.realpath(target)) in chain or len(chain) > MAX_EXTENDS:
        names = " -> ".join(path.name for path in [*chain, target])
        message = "`extends` goes in a circle" if len(chain) <= MAX_EXTENDS else "`extends` goes too deep"
        raise UnknownName(Diagnostic("NS210", message, place.value, names, path="extends"))
    base = _extended(_load_base(shelf, str(target), reference, place.value), chain, shelf)
    base.drop_assertions()
    base.merge((), layers.data, layers.places)
    base.forget(("extends",))
    return base


def _load_base(shelf: Shelf, target: str, reference: str, span: Span) -> Document:
    try:
        return shelf.load(target)
    except DocumentError as error:
        first = error.diagnostics[0]
        if first.code != "NS010":
            raise
        message = f"cannot extend `{reference}`: {first.message.rpartition(': ')[2]}"
        raise UnknownName(
            Diagnostic("NS211", message, span, "looked for beside this file", help=first.help, path="extends")
        ) from error


class _Layers:
    """Plain data and places that later layers are merged into."""

    def __init__(self, document: Document) -> None:
        self.data: dict[str, Any] = _copy(document.data)
        self.places: dict[SpecPath, Place] = dict(document.places)

    def lay_variant(self, name: str) -> None:
        """Apply `variants.<name>`. The network's name tells it, unless the variant has one of its own."""
        variants = self.data.get("variants")
        known = list(variants) if isinstance(variants, dict) else []
        if not isinstance(variants, dict) or name not in variants:
            raise UnknownName(_unknown_variant(name, known, self.places.get(("variants",))))
        self._drop_expect()
        root: SpecPath = ("variants", name)
        for key, value in _items(variants[name]):
            where = (*root, key)
            places = {
                path[len(where) :]: replace(place, origin=f"--variant {name}")
                for path, place in self.places.items()
                if path[: len(where)] == where
            }
            span = places[()].key or places[()].value
            self.lay(parse_path(key), value, places, span, key)
        if "name" not in dict(_items(variants[name])) and isinstance(self.data.get("name"), str):
            self.data["name"] += f"-{name}"

    def lay_settings(self, settings: Sequence[Setting]) -> None:
        """Apply settings, in their order."""
        self._drop_expect()
        for each in settings:
            self.lay(each.path, each.value, each.places, each.span, each.written)

    def lay(
        self, path: SpecPath | None, value: Any, places: Mapping[SpecPath, Place], span: Span, written: str
    ) -> None:
        """Put one value at a path of the spec. The path's parents must exist or be mappings that can be opened."""
        if path is None:
            raise UnknownName(
                Diagnostic("NS206", f"`{written}` is not a path", span, help=("write it as unet.levels[2].channels",))
            )
        target: Any = self.data
        for depth, part in enumerate(path):
            self._check_step(target, part, path[: depth + 1], span)
            if depth + 1 == len(path):
                break
            if isinstance(part, str) and part not in target:
                target[part] = {}
                self.places.setdefault(path[: depth + 1], Place(span, span, places[()].origin))
            self._open(path[: depth + 1])
            target = target[part]
        keyed = dict(places)
        keyed[()] = replace(keyed[()], key=span)
        self.merge(path, value, keyed)

    def merge(self, path: SpecPath, new: Any, places: Mapping[SpecPath, Place]) -> None:
        """Lay a value over what stands at `path`. `places` are relative to `path`."""
        if isinstance(new, dict):
            self._open(path)
        old = self._at(path)
        if new == "none" and old is not None and len(path) == 2 and path[0] in NAMED:
            del self.data[path[0]][path[1]]
            self.forget(path)
            return
        if isinstance(old, dict) and isinstance(new, dict) and not _renamed(old, new):
            children = _children(places)
            for key, value in new.items():
                self.merge((*path, key), value, children.get(key, {}))
            self.places[path] = places.get((), self.places[path])
            return
        self.forget(path)
        self._put(path, _copy(new))
        for relative, place in places.items():
            self.places[(*path, *relative)] = place

    def _open(self, path: SpecPath) -> None:
        """Write a bare name or number as the mapping that it is short for, so that settings can be laid over it."""
        value = self._at(path)
        if value is None or isinstance(value, dict | list):
            return
        key = None if value == "none" else shorthand(path, value)
        self._put(path, {} if key is None else {key: value})
        if key is not None:
            self.places[(*path, key)] = replace(self.places[path], key=None)

    def forget(self, path: SpecPath) -> None:
        """Drop the places at and below a path."""
        for known in [known for known in self.places if known[: len(path)] == path]:
            del self.places[known]

    def _check_step(self, target: Any, part: str | int, path: SpecPath, span: Span) -> None:
        if isinstance(part, int):
            if not isinstance(target, list) or part >= len(target):
                owner = path_text(path[:-1])
                rows = f"`{owner}` has {len(target)}, counted from 0" if isinstance(target, list) else ""
                size = rows or f"`{owner}` is no list"
                raise UnknownName(
                    Diagnostic("NS206", f"`{path_text(path)}` does not exist", span, size, path=path_text(path))
                )
        elif not isinstance(target, dict):
            raise UnknownName(
                Diagnostic("NS206", f"`{path_text(path)}` does not exist", span, f"`{part}` is inside a list")
            )

    def drop_assertions(self) -> None:
        """Forget what the file expects of itself and of its variants: one that extends it is another network."""
        self._drop_expect()
        for name, variant in _items(self.data.get("variants")):
            for key, _ in _items(variant):
                if key.partition(".")[0] == "expect":
                    del variant[key]
                    self.forget(("variants", name, key))

    def _drop_expect(self) -> None:
        self.data.pop("expect", None)
        self.forget(("expect",))

    def _at(self, path: SpecPath) -> Any:
        value: Any = self.data
        for part in path:
            if isinstance(value, dict):
                value = value.get(part)
            elif isinstance(value, list) and isinstance(part, int):
                value = value[part]
            else:
                return None
        return value

    def _put(self, path: SpecPath, value: Any) -> None:
        target: Any = self.data
        for part in path[:-1]:
            target = target[part]
        target[path[-1]] = value


def _children(places: Mapping[SpecPath, Place]) -> dict[str | int, dict[SpecPath, Place]]:
    """Places below a path, by their first part."""
    children: dict[str | int, dict[SpecPath, Place]] = {}
    for path, place in places.items():
        if path:
            children.setdefault(path[0], {})[path[1:]] = place
    return children


def _renamed(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Whether `new` names another component than `old`."""
    return any(tag in new and new[tag] != old.get(tag) for tag in TAGS)


def _items(mapping: object) -> list[tuple[str, Any]]:
    return [(str(key), value) for key, value in mapping.items()] if isinstance(mapping, dict) else []


def _copy(value: Any) -> Any:
    match value:
        case dict():
            return {key: _copy(item) for key, item in value.items()}
        case list():
            return [_copy(item) for item in value]
        case _:
            return value


def _unknown_variant(name: str, known: Sequence[str], place: Place | None) -> Diagnostic:
    source = Source("--variant", name)
    close = get_close_matches(name, known, n=1)
    names = ", ".join(f"`{variant}`" for variant in known)
    listing = f"this spec has {names}" if known else "this spec has no variants"
    return Diagnostic(
        "NS205",
        f"unknown variant `{name}`",
        Span(source, 1, 1, 1, len(name) + 1),
        f"did you mean `{close[0]}`?" if close else "",
        labels=(Label(place.key, "variants"),) if place and place.key else (),
        help=(listing,),
    )
