"""spelled(): a typed choice as a person would write it: `layer`, `{type: group, groups: 16}`, `[batch, 4, 64, 64]`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import MISSING
from typing import Any

from netspec.fields import Field
from netspec.registry import Component, Record, declared, parse

_SIGNS = tuple("[]{},&*#?|-<>=!%@:'\"` ")  # what no plain word of YAML begins with


def spelled(value: Any, usual: Any = MISSING, family: Record | None = None) -> str:
    """The value in YAML's flow style, without what goes unsaid: settings that are those of `usual`, the record that
    holds or is started from where nothing is written. `family` has the settings that rows start from."""
    match value:
        case None:
            return "none"
        case bool():
            return str(value).lower()
        case str() if not value.isprintable():
            return json.dumps(value)  # on one line, and without what a terminal would obey
        case str():
            return value if value and not value.startswith(_SIGNS) else f'"{value}"'
        case float():
            return f"{value:g}" if float(f"{value:g}") == value else repr(value)
        case Record():
            return _record(value, usual, family)
        case Mapping():
            return _flow({key: spelled(item) for key, item in value.items()})
        case tuple() | list():
            return "[" + ", ".join(spelled(item, family=family) for item in value) + "]"
        case _:
            return str(value)


def _record(record: Record, usual: Any, family: Record | None) -> str:
    same, said = type(usual) is type(record), {}
    for field in declared(type(record)).values():
        value = getattr(record, field.name)
        absent = getattr(usual, field.name) if same else unwritten(field)
        if value != absent:
            base = start(field, family) if field.param.inherits else absent
            said[field.name] = spelled(value, base, family)
    named = isinstance(record, Component) and bool(record.tag)
    if record.shorthand and said.keys() <= {record.shorthand} and (same or not named):
        return spelled(getattr(record, record.shorthand))
    if isinstance(record, Component) and record.tag:
        if not said and (same or record.tag == "type"):
            return record.name
        return _flow(said if same else {record.tag: record.name} | said)
    return _flow(said)


def start(field: Field, family: Record | None) -> Any:
    """What settings of a field are laid over: for a field of a row, what the family shares among rows."""
    if family is not None and field.param.inherits in declared(type(family)):
        return getattr(family, field.param.inherits)
    return unwritten(field)


def unwritten(field: Field) -> Any:
    """The value of a field that nobody writes; MISSING where somebody must."""
    return MISSING if field.required else parse(field.type, None, {}, field.default)


def _flow(entries: Mapping[str, str]) -> str:
    return "{" + ", ".join(f"{key}: {text}" for key, text in entries.items()) + "}"
