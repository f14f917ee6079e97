"""shortest(): a resolved spec said in as few words as the language allows, as plain data.

Nothing here knows a key: a word that can go without changing what the spec resolves to, goes. The lineage whose silent
numerics leave the least to say becomes the spec's convention.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache
from typing import Any

from netspec import conventions, schema
from netspec import spec as specs
from netspec.document import Document
from netspec.errors import Source, SpecPath
from netspec.registry import named
from netspec.shorthands import shorthand
from netspec.spec import Spec
from netspec.validation import verdict

ROWS = "levels"  # stand below each other, and in one form
_ALWAYS = ("netspec", "name", "convention", "inputs", "output", "outputs", "dims")
_SPOKEN = ("embed",)  # the name of an embedding says what an input is for, default or not


def shortest(spec: Spec) -> dict[str, Any]:
    """Data that resolves to an equal spec, its convention aside, with no key that could be left out."""
    usual = named("family")[spec.family.name].convention  # type: ignore[attr-defined]  # every family has one
    others = sorted(set(conventions.names()) - {usual})
    found = [_Shortening(spec, name, silent=name == usual).data for name in (usual, *others)]
    return min(found, key=_words)  # of equals the first: the family's own


class _Shortening:
    """One pass over the full data of a spec under one convention."""

    def __init__(self, spec: Spec, convention: str, *, silent: bool) -> None:
        self.spec = replace(spec, convention=convention)
        self.data: dict[str, Any] = specs.data(self.spec)
        if silent:
            del self.data["convention"]
        if set(self.data["outputs"]) == {"output"}:
            self.data = {"output" if key == "outputs" else key: value for key, value in self.data.items()}
            self.data["output"] = self.data["output"]["output"]
        for key in [key for key in self.data if key not in (*_ALWAYS, spec.family.name)]:
            self._shorten(self.data, key, ())
        self._inside(self.data, spec.family.name, (spec.family.name,))

    def _shorten(self, parent: dict[str, Any], key: str, above: SpecPath) -> None:
        """Leave out `parent[key]`, or what can be left out of it."""
        if self._without(parent, key):
            return
        path, value = (*above, key), parent[key]
        if isinstance(value, dict):
            self._inside(parent, key, path)
        elif isinstance(value, list) and all(isinstance(item, dict) for item in value):
            for index in range(len(value)):
                self._inside(value, index, (*path, index))
            if key == ROWS and any(isinstance(item, dict) for item in value):
                value[:] = [item if isinstance(item, dict) else {shorthand((*path, 0), item): item} for item in value]

    def _inside(self, parent: Any, key: str | int, path: SpecPath) -> None:
        """The entry itself must stay: its inner keys need not. What is left of it may have a bare form."""
        mapping: dict[str, Any] = parent[key]
        bare = {inner: value for inner, value in mapping.items() if _is_bare(path, inner, value)}
        for inner in [inner for inner in mapping if inner not in _SPOKEN]:
            self._shorten(mapping, inner, path)
        if len(mapping) <= 1:
            words = [value for inner, value in bare.items() if mapping.keys() <= {inner}]
            for value in sorted(words, key=lambda value: isinstance(value, str)):  # a depth before a name
                parent[key] = value
                if self._holds():
                    return
            parent[key] = mapping

    def _without(self, parent: dict[str, Any], key: str) -> bool:
        """Whether `parent[key]` says nothing: then it is gone."""
        before = dict(parent)
        del parent[key]
        if self._holds():
            return True
        parent.clear()
        parent.update(before)  # in its old place
        return False

    def _holds(self) -> bool:
        if not _verdict(id(schema.current()))(self.data):
            return False
        return specs.resolve(Document(Source("", ""), self.data, {})) == self.spec


@cache
def _verdict(_: int) -> verdict.Verdict:
    return verdict.compiled(schema.current())  # cached by identity, as the schema itself is


def _is_bare(path: SpecPath, key: str, value: Any) -> bool:
    """Whether the bare value at `path` stands for this key."""
    return not isinstance(value, dict | list) and shorthand(path, value) == key


def _words(data: Any) -> int:
    return sum(1 for _ in _leaves(data))


def _leaves(data: Any) -> Iterator[Any]:
    match data:
        case Mapping():
            for value in data.values():
                yield from _leaves(value)
        case list():
            for value in data:
                yield from _leaves(value)
        case _:
            yield data
