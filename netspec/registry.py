"""What a spec may say: records of choices, and components that register themselves by being subclassed.

A **record** is a frozen set of choices; each field is annotated with a `Param` that documents and bounds it. A
**component** is a record that can be named in a spec (`norm: rms`): its file says five things: choices (the fields),
consequence (`infer`), cost (`cost`), construction (`build`), example (`example`). The JSON Schema, the reference,
`netspec list` and the registry-wide tests all read these classes; adding one touches no other file.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import sys
import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, FrozenInstanceError, dataclass, fields
from functools import cache
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    ClassVar,
    Literal,
    TypeAlias,
    Union,
    dataclass_transform,
    get_args,
    get_origin,
)

from netspec.errors import Diagnostic, RegistrationError
from netspec.fields import (
    Choice,
    Either,
    Field,
    FieldType,
    ListOf,
    Optional,
    Param,
    RecordOf,
    Scalar,
    Slot,
    Words,
)
from netspec.plugins import installed

if TYPE_CHECKING:
    from torch import nn

    from netspec.costs import Cost
    from netspec.problems import Problem
    from netspec.roles import Role
    from netspec.tensors import TensorType

PACKAGES = (
    "activations",
    "norms",
    "embeds",
    "positions",
    "modulations",
    "wiring",
    "attention",
    "gates",
    "blocks",
    "resample",
    "families",
)
GROUP = "netspec.components"  # entry points of other packages: a module whose import registers components


@dataclass_transform(frozen_default=True, kw_only_default=True)
class Record:
    """A frozen, typed set of choices. Subclasses are dataclasses without saying so.

    What dataclasses would generate for each of them stands here once: a hundred times five generated methods would be
    a sixth of the start-up time of a command.
    """

    shorthand: ClassVar[str] = ""  # the field that a bare scalar stands for: `64` for `{channels: 64}`

    def __init_subclass__(cls, *, shorthand: str = "") -> None:
        super().__init_subclass__()
        if shorthand:
            cls.shorthand = shorthand
        dataclass(kw_only=True, init=False, eq=False, repr=False)(cls)

    def __init__(self, **choices: Any) -> None:
        chosen, known = self.__dict__, declared(type(self))
        for name, field in known.items():
            value = choices.get(name, field.default)
            if value is MISSING:
                raise TypeError(f"{type(self).__name__} needs `{name}`")
            chosen[name] = parse(field.type, None, {}, value) if isinstance(value, Choice) else value
        if len(choices) > len(known) or not choices.keys() <= known.keys():
            raise TypeError(f"{type(self).__name__} has no {sorted(choices.keys() - known.keys())}")

    def __setattr__(self, name: str, value: Any) -> None:
        raise FrozenInstanceError(f"{type(self).__name__} cannot be changed: use dataclasses.replace")

    def __delattr__(self, name: str) -> None:
        raise FrozenInstanceError(f"{type(self).__name__} cannot be changed: use dataclasses.replace")

    def __eq__(self, other: object) -> bool:
        return self.__dict__ == other.__dict__ if type(self) is type(other) else NotImplemented

    def __hash__(self) -> int:
        return hash((type(self), *self.__dict__.values()))

    def __repr__(self) -> str:
        settings = ", ".join(f"{name}={value!r}" for name, value in self.__dict__.items())
        return f"{type(self).__name__}({settings})"


class Component(Record):
    """Something that a spec can name. A direct subclass with `kind=` opens a kind; one with `name=` joins it.

    `build`, `infer` and `cost` get the types of the node's inputs, and `out`, the type that `infer` returned;
    `infer` gets `channels` where the wiring decides the width. Torch is imported inside `build` only.
    """

    kind: ClassVar[str] = ""
    tag: ClassVar[str] = "type"  # the key that names the component inside a mapping
    usual: ClassVar[str] = ""  # the component of this kind that settings without a name are for
    name: ClassVar[str] = ""
    measured: ClassVar[tuple[int, ...]] = ()  # inputs of which it reads the sizes alone, by place
    label: ClassVar[str] = ""  # what a picture calls it; by default its name in words
    example: ClassVar[str] = ""  # a YAML value that names this component
    exact: ClassVar[tuple[str, ...]] = ()  # buffers that half precision would spoil: they stay in float32
    role: ClassVar[Role] = "other"  # what it is for, where that decides its precision: netspec.precision
    roles: ClassVar[Mapping[str, Role]] = {}  # the same of its parts, by name
    trial: ClassVar[tuple[TensorType, ...]] = ()  # input types for the registry-wide tests
    trial_channels: ClassVar[int | None] = None

    infer: ClassVar[Callable[..., TensorType]]
    cost: ClassVar[Callable[..., Cost]]
    build: ClassVar[Callable[..., nn.Module]]

    def __init_subclass__(
        cls, *, kind: str = "", tag: str = "type", usual: str = "", name: str = "", shorthand: str = ""
    ) -> None:
        super().__init_subclass__(shorthand=shorthand)
        if kind:
            cls.kind, cls.tag, cls.usual = kind, tag, usual
            _open(cls)
        if name:
            cls.name = name
            _register(cls)

    def sketch(self) -> tuple[tuple[str, ...], ...]:
        """What a picture shows inside it: rows of parts from first to last, those of a row side by side."""
        return ()

    def _fits(self, *inputs: TensorType, channels: int | None = None) -> Iterator[Problem]:
        """Everything about these inputs that this component cannot work with: nothing, unless it says otherwise."""
        return iter(())

    check: ClassVar[Callable[..., Iterator[Problem]]] = _fits  # each component names the inputs that it takes


_KINDS: dict[str, type[Component]] = {}
_COMPONENTS: dict[str, dict[str, type[Component]]] = {}


def _open(cls: type[Component]) -> None:
    if (owner := _KINDS.get(cls.kind)) is not None:
        raise _refused("NS901", f"kind `{cls.kind}` is declared twice", owner, cls)
    _KINDS[cls.kind] = cls
    _COMPONENTS[cls.kind] = {}


def _register(cls: type[Component]) -> None:
    if cls.kind not in _COMPONENTS:
        raise _refused("NS902", f"component `{cls.name}` has no kind: subclass a kind's base class", cls)
    if (owner := _COMPONENTS[cls.kind].get(cls.name)) is not None:
        raise _refused("NS903", f"{cls.kind} `{cls.name}` is registered twice", owner, cls)
    if not cls.__doc__ or cls.__doc__.startswith(f"{cls.__name__}("):  # dataclass writes one of its own
        raise _refused("NS904", f"{cls.kind} `{cls.name}` has no docstring: say what it is and cite its source", cls)
    declared(cls)  # refuses malformed fields
    _COMPONENTS[cls.kind][cls.name] = cls


def _refused(code: str, message: str, *owners: type) -> RegistrationError:
    notes = tuple(f"{owner.__module__}.{owner.__qualname__} ({inspect.getfile(owner)})" for owner in owners)
    return RegistrationError(Diagnostic(code, message, notes=notes))


@cache
def load_all() -> bool:
    """Import every component, ours and those of installed packages. True when others have added some."""
    for package in PACKAGES:
        module = importlib.import_module(f"netspec.{package}")
        for _, name, _ in pkgutil.iter_modules(module.__path__):
            importlib.import_module(f"netspec.{package}.{name}")
    plugins = installed(GROUP)
    for entry in plugins.values():
        entry.load()
    return bool(plugins) or any(not _ours(cls) for cls in everything())


def _ours(cls: type) -> bool:
    return cls.__module__.startswith("netspec.")


def kinds() -> Mapping[str, type[Component]]:
    """Every kind's base class by name."""
    load_all()
    return types.MappingProxyType(_KINDS)


def named(kind: str) -> Mapping[str, type[Component]]:
    """Every component of one kind by name."""
    load_all()
    return types.MappingProxyType(_COMPONENTS[kind])


def everything() -> list[type[Component]]:
    """Every component of every kind, in kind and name order."""
    return [_COMPONENTS[kind][name] for kind in sorted(_COMPONENTS) for name in sorted(_COMPONENTS[kind])]


_DECLARED: dict[type[Record], Mapping[str, Field]] = {}


def declared(record: type[Record]) -> Mapping[str, Field]:
    """The fields of a record, in the order they are written."""
    if record not in _DECLARED:
        _DECLARED[record] = types.MappingProxyType(_fields(record))
    return _DECLARED[record]


def _fields(record: type[Record]) -> dict[str, Field]:
    found: dict[str, Field] = {}
    for item in fields(record):  # type: ignore[arg-type]  # __init_subclass__ makes every record a dataclass
        owner = next(base for base in record.__mro__ if item.name in inspect.get_annotations(base))
        hint = eval(item.type, vars(sys.modules[owner.__module__])) if isinstance(item.type, str) else item.type
        if get_origin(hint) is not Annotated or not isinstance(param := get_args(hint)[1], Param):
            raise _refused("NS905", f"field `{item.name}` needs Annotated[type, Param(…)]", record)
        default = item.default if item.default_factory is MISSING else item.default_factory()
        found[item.name] = Field(item.name, _field_type(get_args(hint)[0], record), param, default)
    return found


def _field_type(hint: Any, record: type[Record]) -> FieldType:
    origin, args = get_origin(hint), get_args(hint)
    if origin is Literal:
        return Words(args)
    if origin is tuple:
        return ListOf(_field_type(args[0], record))
    if origin in (Union, types.UnionType):
        items = tuple(_field_type(arg, record) for arg in args if arg is not type(None))
        inner = items[0] if len(items) == 1 else Either(items)
        return Optional(inner) if type(None) in args else inner
    if hint in (int, float, bool, str):
        return Scalar(hint)
    if isinstance(hint, type) and issubclass(hint, Component) and not hint.name:
        return Slot(hint)
    if isinstance(hint, type) and issubclass(hint, Record):
        return RecordOf(hint)
    raise _refused("NS906", f"a field cannot hold {hint!r}", record)


Conventions: TypeAlias = Mapping[str, Mapping[str, Any]]  # "norm.group" → the settings a lineage gives it


def parse(kind: FieldType, value: Any, conventions: Conventions, default: Any = MISSING) -> Any:
    """The typed value of validated plain data. `value` None takes the default."""
    if value is None:
        value = default
    match kind:
        case Optional(item):
            return None if value in (None, "none") else parse(item, value, conventions, default)
        case Scalar(type=t):
            return float(value) if t is float else value
        case Words():
            return value
        case ListOf(item):
            return tuple(parse(item, each, conventions) for each in value)
        case Either(items):
            many = isinstance(value, list | tuple)
            return parse(next(i for i in items if isinstance(i, ListOf) is many), value, conventions)
        case RecordOf(record):
            return parse_record(record, _mapping(value, record), conventions)
        case Slot(base):
            cls, given = select(base, value, default)
            return parse_record(cls, given, conventions)


def _mapping(value: Any, record: type[Record]) -> Mapping[str, Any]:
    match value:
        case Choice(settings=settings):
            return settings
        case Mapping():
            return value
        case _:
            return {record.shorthand: value}


def select(base: type[Component], value: Any, default: Any = MISSING) -> tuple[type[Component], Mapping[str, Any]]:
    """The component that a value names, and its settings: `rms`, `{type: rms, eps: 1e-6}`, or a bare scalar of the
    default component. The default's own settings hold only where the value names no other component."""
    fallback = default if isinstance(default, Choice) else None
    match value:
        case Choice(name, own):
            return named(base.kind)[name], own
        case str():
            name, given = value, {}
        case Mapping():
            given = {key: item for key, item in value.items() if key != base.tag}
            name = value.get(base.tag) or usual_name(base, default)
        case _:
            name = usual_name(base, default)
            given = {named(base.kind)[name].shorthand: value}
    if fallback and fallback.name == name:
        given = {**fallback.settings, **given}
    return named(base.kind)[name], given


def usual_name(base: type[Component], default: Any = MISSING) -> str:
    """The component that settings without a name belong to: the field's default, else the kind's usual one."""
    return default.name if isinstance(default, Choice) else base.usual


def parse_record(record: type[Record], value: Mapping[str, Any], conventions: Conventions) -> Any:
    """A record of validated data: the value, over the convention's settings, over the defaults."""
    if issubclass(record, Component):
        value = {**conventions.get(f"{record.kind}.{record.name}", {}), **value}
    chosen = {}
    for field in declared(record).values():
        given = value.get(field.name)
        if given is not None or isinstance(field.default, Choice):
            chosen[field.name] = parse(field.type, given, conventions, field.default)
    return record(**chosen)


def references(record: Record) -> Iterator[tuple[str, Param]]:
    """Every input that a field of the record, or of a record inside it, names, and what the field says of it."""
    for field in _naming(type(record)):  # type: ignore[arg-type]  # classes are hashable
        value = getattr(record, field.name)
        for inner in value if isinstance(value, tuple) else (value,):
            if isinstance(inner, Record):
                yield from references(inner)
            elif field.param.refers == "input" and isinstance(inner, str):
                yield inner, field.param


@cache
def _naming(record: type[Record]) -> tuple[Field, ...]:
    """The fields that name an input or can hold a record."""
    return tuple(field for field in declared(record).values() if field.param.refers == "input" or _holds(field.type))


def _holds(kind: FieldType) -> bool:
    match kind:
        case Optional(item) | ListOf(item):
            return _holds(item)
        case Either(items):
            return any(map(_holds, items))
        case _:
            return isinstance(kind, RecordOf | Slot)


def referred(record: Record) -> Iterator[str]:
    """The names of those inputs."""
    return (name for name, _ in references(record))


def dump(value: Any) -> Any:
    """Plain data that `parse` turns back into the same value, every default written out."""
    match value:
        case None:
            return "none"
        case Record():
            data = {value.tag: value.name} if isinstance(value, Component) and value.tag else {}
            return data | {name: dump(getattr(value, name)) for name in declared(type(value))}
        case tuple():
            return [dump(item) for item in value]
        case _:
            return value
