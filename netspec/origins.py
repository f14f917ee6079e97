"""Where each value of a resolved spec comes from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from netspec import conventions, registry
from netspec.errors import SpecPath, path_text
from netspec.spec import Spec, data


def origins(spec: Spec, named: Callable[[str], str] = str) -> Iterator[tuple[str, str, str]]:
    """(path, value, source) for every leaf of the resolved spec: `default`, `convention ddpm`, `sd15.yaml:21` or
    `--set`. `named` says what a file is called, by default what the user called it."""
    for path, value, component in _leaves(data(spec), (), ""):
        yield path_text(path), text(value), _source(spec, path, value, component, named)


def _source(spec: Spec, path: SpecPath, value: Any, component: str, named: Callable[[str], str]) -> str:
    places = spec.document.places if spec.document else {}
    place = places.get(path) or places.get(_written(path))
    if place is not None:
        where = f"{named(place.value.source.name)}:{place.value.line}"
        if place.origin == place.value.source.name:  # `--set`: the path says which argument
            return place.origin
        return f"{place.origin}   ({where})" if place.origin else where
    lineage = conventions.settings(spec.convention).get(component, {})
    return f"convention {spec.convention}" if lineage.get(str(path[-1]), _NOTHING) == value else "default"


_NOTHING = object()


def _written(path: SpecPath) -> SpecPath:
    """Where a person writes what the resolved spec spells longer: one output, a component by its bare name, a size that
    is all of a range."""
    if path[:2] == ("outputs", "output"):
        return ("output", *path[2:])
    shortened = path[-1] in ("type", "embed") or path[-3:-2] == ("dims",)
    return path[:-1] if shortened else path


def _leaves(value: Any, path: SpecPath, component: str) -> Iterator[tuple[SpecPath, Any, str]]:
    """Leaves with their path and, inside a component, its `kind.name`. Lists of plain values are one leaf."""
    if isinstance(value, dict):
        name = _component(value) or component
        for key, item in value.items():
            yield from _leaves(item, (*path, key), name)
    elif isinstance(value, list) and any(isinstance(item, dict | list) for item in value):
        for index, item in enumerate(value):
            yield from _leaves(item, (*path, index), component)
    else:
        yield path, value, component


def _component(value: dict[str, Any]) -> str:
    """`norm.group` for the data of a group norm: the kind that has a component of that name with just these keys."""
    for kind, base in registry.kinds().items():
        known = registry.named(kind)
        for name in [value.get(base.tag)] if base.tag else known:  # without a tag its keys alone tell
            cls = known.get(name) if isinstance(name, str) else None
            if cls is not None and value.keys() - {base.tag} == registry.declared(cls).keys():
                return f"{kind}.{name}"
    return ""


def text(value: Any) -> str:
    """A leaf in one line."""
    match value:
        case bool():
            return str(value).lower()
        case list():
            return "[" + ", ".join(text(item) for item in value) + "]"
        case _:
            return str(value)
