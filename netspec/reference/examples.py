"""An example value for every key: the component's own, what a shipped spec writes, or one made from the type."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from netspec import document, registry, schema
from netspec.fields import Choice, Either, Field, FieldType, ListOf, Optional, Param, RecordOf, Scalar, Slot, Words
from netspec.reference.usage import Place, Usage
from netspec.reference.words import flow
from netspec.registry import Component, Record, declared, named

LONGEST = 72


def own(cls: type[Record]) -> Any:
    """The value that a component gives as its example."""
    if not (issubclass(cls, Component) and cls.example):
        return {}
    return document.loads(f"example: {cls.example}").data["example"]


def example(cls: type[Record], field: Field, usage: Usage, alike: Iterable[Place] = ()) -> Any:
    """A value of one key that is valid and short, and not the default where one can be found: from the component's own
    example, or from what shipped specs write there, else at the places that are `alike`."""
    given = own(cls)
    if isinstance(given, Mapping) and field.name in given:
        return given[field.name]
    for place in ((schema.def_name(cls), field.name), *alike):
        if found := shortest(usage.values.get(place, ()), field):
            return found
    return made(field.type, field)


def shortest(values: Iterable[Any], field: Field) -> Any:
    """The shortest of the values that shipped specs write, but not the default; None where there is none."""
    texts = {flow(value): value for value in values}
    usual = {flow(field.default), "none"} if not field.required else set()
    fit = [text for text in texts if text not in usual and len(text) <= LONGEST]
    return texts[min(fit, key=lambda text: (len(text), text))] if fit else None


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
