"""What a field of a record means and may hold: the vocabulary that registry.py, schema.py and the docs share."""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from netspec.registry import Component, Record


@dataclass(frozen=True)
class Param:
    """What a field means, for people and for the schema. `inherits` names the family key whose settings a value
    starts from: a level's `transformer: 2` keeps the shared `transformer`'s heads. `refers` says that the value is
    the name of something: an input or an output. `dtype` is what that input holds, whatever the build's precision, and
    `layout` what it is where its sizes do not tell: [batch, tokens] is a mask, not a vector. `words` says what each of
    a closed set of words means, and `example` is a value as people write it: editors show both."""

    doc: str
    ge: float | None = None
    gt: float | None = None
    le: float | None = None
    multiple_of: int | None = None
    inherits: str = ""
    refers: Literal["", "input", "output"] = ""
    dtype: str = ""
    layout: Literal["", "mask"] = ""
    words: Mapping[str, str] = field(default_factory=dict, hash=False)
    example: Any = None


@dataclass(frozen=True)
class Choice:
    """The default of a field that holds a component: its name and the settings that differ from its own defaults."""

    name: str
    settings: Mapping[str, Any]


def choice(name: str, **settings: Any) -> Any:
    """`norm: Annotated[Norm, Param(…)] = choice("group", eps=1e-6)`. See `settings` for a plain record."""
    return Choice(name, types.MappingProxyType(settings))


def settings(**given: Any) -> Any:
    """`head: Annotated[Head, Param(…)] = settings(kernel=3)`: a record's default, parsed like a spec's own words."""
    return Choice("", types.MappingProxyType(given))


# What a field may hold, as a sum type: schema.py and parse() match on it.
@dataclass(frozen=True)
class Scalar:
    """A number, a boolean or a text."""

    type: type[int] | type[float] | type[bool] | type[str]


@dataclass(frozen=True)
class Words:
    """One of a closed set of words."""

    words: tuple[str, ...]


@dataclass(frozen=True)
class ListOf:
    """A list whose items are of one type."""

    item: FieldType


@dataclass(frozen=True)
class RecordOf:
    """A mapping with the fields of one record."""

    record: type[Record]


@dataclass(frozen=True)
class Slot:
    """A component of one kind, by name or as a mapping."""

    kind: type[Component]


@dataclass(frozen=True)
class Optional:
    """The word `none` switches it off."""

    item: FieldType


@dataclass(frozen=True)
class Either:
    """A number or a list of numbers."""

    items: tuple[FieldType, ...]


FieldType: TypeAlias = Scalar | Words | ListOf | RecordOf | Slot | Optional | Either


@dataclass(frozen=True)
class Field:
    """One choice of a record, as the schema, the parser and the docs see it."""

    name: str
    type: FieldType
    param: Param
    default: Any  # MISSING where a spec must say it

    @property
    def required(self) -> bool:
        return self.default is MISSING
