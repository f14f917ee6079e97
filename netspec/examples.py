"""given(): an example value of a key, from its own words, from its component's example, or made from its type."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from netspec import document, registry
from netspec.fields import Choice, Either, Field, FieldType, ListOf, Optional, Param, RecordOf, Scalar, Slot, Words
from netspec.registry import Component, Record, declared, named


def given(cls: type[Record], field: Field) -> Any:
    """A valid value of one key of a record, and not the default where another can be made."""
    if (found := told(cls, field)) is not None:
        return found
    return made(field.type, field)


def told(cls: type[Record], field: Field) -> Any:
    """What the key's own words or its component's example say; None where they are silent."""
    mine = own(cls)
    return mine[field.name] if isinstance(mine, Mapping) and field.name in mine else field.param.example


def own(cls: type[Record]) -> Any:
    """The value that a component gives as its example."""
    if not (issubclass(cls, Component) and cls.example):
        return {}
    return document.loads(f"example: {cls.example}").data["example"]


def made(kind: FieldType, field: Field) -> Any:
    """A value made from a type."""
    match kind:
        case Optional(item):
            return made(item, field)
        case Scalar(type=t) if t is bool:
            return not field.default
        case Scalar(type=t) if t is str:
            return "decoded" if field.param.refers == "output" else "text"
        case Scalar(type=t):
            return _number(t, field.param, field.default)
        case Words(words):
            return next(word for word in words if word != field.default)
        case ListOf(item):
            return [made(item, field)]
        case Either(items):
            return made(items[0], field)
        case RecordOf(record):
            return _settings(record)
        case Slot(base):
            return _component(base, field.default)


def _number(kind: type, param: Param, usual: Any) -> Any:
    """Another number than the default: two more or twice as much, what is odd stays odd; without a default, the
    least that the bounds allow."""
    step = param.multiple_of or 1
    least = param.ge if param.ge is not None else (param.gt or 0) + step
    if not usual:
        return kind(least or (step if kind is int else 0.1))
    more = usual + 2 * step if kind is int else 2 * usual
    return kind(more if param.le is None or more <= param.le else usual / 2)


def _settings(record: type[Record]) -> Any:
    """What a record needs, or the first thing that it takes."""
    fields = declared(record)
    wanted = [field for field in fields.values() if field.required] or list(fields.values())[:1]
    return {field.name: made(field.type, field) for field in wanted}


def _component(base: type[Component], usual: Any) -> Any:
    """Another component than the default, as its own example writes it."""
    known = usual.name if isinstance(usual, Choice) else base.usual
    others = [cls for name, cls in sorted(named(base.kind).items()) if name != known]
    cls = next((each for each in others if not any(f.required for f in declared(each).values())), None)
    return cls.name if cls else own(others[0] if others else registry.named(base.kind)[known])
