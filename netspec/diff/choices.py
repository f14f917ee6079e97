"""changes(): two resolved specs as trees of typed choices → what differs, each difference once.

A choice is changed where it stands, not where it is repeated: what rows take over from shared settings, and defaults
that another convention brings, are told under their cause. Rows of a list are aligned before they are compared, so
that an inserted row is one insertion.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, replace
from typing import Any, Literal

from netspec import conventions
from netspec.diff.rows import aligned
from netspec.diff.spelling import spelled, start
from netspec.errors import SpecPath, path_text
from netspec.families.levels import Levelled
from netspec.fields import Field
from netspec.registry import Component, Conventions, Record, declared, dump, parse
from netspec.spec import Spec, data

Group = Literal["choices", "interface", "notes"]
_INTERFACE = ("inputs", "outputs", "dims", "targets")
_NOTES = ("name", "description", "expect", "lints")


@dataclass(frozen=True)
class Change:
    """One choice that differs: its path in A and in B (None where there is no such thing), its two values, and the
    changes that follow from it. `old` and `new` are typed, MISSING where absent; the texts are as a person writes."""

    before: SpecPath | None
    after: SpecPath | None
    old: Any
    new: Any
    old_text: str = ""
    new_text: str = ""
    follows: tuple[Change, ...] = ()
    shared: SpecPath | None = field(default=None, compare=False)  # the setting that a row's choice starts from
    owner: tuple[type[Record], str] | None = field(default=None, compare=False)  # whose choice it is, and its name

    @property
    def path(self) -> SpecPath:
        """Where it stands in B, or stood in A."""
        found = self.after if self.after is not None else self.before
        assert found is not None
        return found

    @property
    def where(self) -> str:
        """The path as a person writes it."""
        return written(self.path)

    @property
    def kind(self) -> Literal["added", "removed", "changed"]:
        return "added" if self.before is None else "removed" if self.after is None else "changed"

    @property
    def group(self) -> Group:
        """What it is a matter of: the network, what it is fed and made for, or what is said about it."""
        top = self.path[0]
        return "interface" if top in _INTERFACE else "notes" if top in _NOTES else "choices"

    def data(self) -> dict[str, Any]:
        """As plain data, for `--format json`."""
        values = {"old": self.old, "new": self.new}
        return {
            "path": self.where,
            "was_at": None if self.before in (None, self.after) else written(self.before or ()),
            "kind": self.kind,
            **{name: dump(value) for name, value in values.items() if value is not MISSING},
            "follows": [each.data() for each in self.follows],
        }


@dataclass(frozen=True)
class Changes:
    """What differs, and which row of A each row of B is, by the path of their list in B."""

    all: tuple[Change, ...]
    rows: Mapping[SpecPath, Sequence[tuple[int | None, int | None]]]


def changes(a: Spec, b: Spec) -> Changes:
    """Every difference between two specs, none where they are equal."""
    left, right = _tree(a), _tree(b)
    key = a.family.name
    if key == b.family.name:
        left[key], right[key] = _alike(a.family, b.family)
    walk = _Walk(left.get(key), right.get(b.family.name))
    found = list(walk.mappings(left, right, (), ()))
    lineages = conventions.settings(a.convention), conventions.settings(b.convention)
    return Changes(tuple(_under_causes(found, lineages)), walk.rows)


def differences(a: Record, b: Record) -> list[Change]:
    """What differs between two records of one kind; paths are below them."""
    return list(_Walk(None, None).values(a, b, (), ()))


def written(path: SpecPath) -> str:
    """A path of the resolved spec as it would be written in a file: an only output has no name there."""
    if path[:2] == ("outputs", "output"):
        path = ("output", *path[2:])
    return path_text(path)


def _tree(spec: Spec) -> dict[str, Any]:
    """The resolved spec as data in which components are still typed."""
    return data(spec) | {"conditioning": dict(spec.conditioning), spec.family.name: spec.family}


def _alike(a: Record, b: Record) -> tuple[Record, Record]:
    """Families of levels with their rows written in one way: as channels where one of them says multipliers."""
    if not (isinstance(a, Levelled) and isinstance(b, Levelled)):
        return a, b
    a, b = _counted(a), _counted(b)
    if _multiplied(a) == _multiplied(b):
        return a, b
    return _in_channels(a), _in_channels(b)


def _multiplied(family: Levelled) -> bool:
    return any(level.multiplier for level in family.levels)


def _counted(family: Levelled) -> Levelled:
    """A row that says as many blocks as the others says nothing."""
    usual = family.blocks_per_level
    rows = (replace(row, blocks=None) if row.blocks == usual else row for row in family.levels)
    return replace(family, levels=tuple(rows))


def _in_channels(family: Levelled) -> Levelled:
    rows = (replace(row, channels=family.width_of(row), multiplier=None) for row in family.levels)
    return replace(family, levels=tuple(rows), base_channels=None)


class _Walk:
    """The way through both trees. `rows` collects how lists were aligned."""

    def __init__(self, old_family: Any, new_family: Any) -> None:
        self.families = old_family, new_family
        self.rows: dict[SpecPath, Sequence[tuple[int | None, int | None]]] = {}

    def mappings(self, old: Mapping[str, Any], new: Mapping[str, Any], a: SpecPath, b: SpecPath) -> Iterator[Change]:
        for key in dict.fromkeys([*old, *new]):
            yield from self.values(old.get(key, MISSING), new.get(key, MISSING), (*a, key), (*b, key))

    def values(
        self,
        old: Any,
        new: Any,
        a: SpecPath,
        b: SpecPath,
        field: Field | None = None,
        shared: SpecPath | None = None,
        owner: type[Record] | None = None,
    ) -> Iterator[Change]:
        """The differences between two values that stand at `a` and `b`."""
        if isinstance(old, Record) and type(old) is type(new):
            yield from self._records(old, new, a, b, shared)
        elif isinstance(old, Mapping) and isinstance(new, Mapping):
            yield from self.mappings(old, new, a, b)
        elif _rows(old) and _rows(new) and (old or new):
            yield from self._lists(old, new, a, b)
        elif old != new:
            old_text, new_text = (
                "" if value is MISSING else spelled(value, start(field, family) if field else MISSING, family)
                for value, family in zip((old, new), self.families, strict=True)
            )
            before, after = None if old is MISSING else a, None if new is MISSING else b
            named = (owner, field.name) if owner and field else None
            yield Change(before, after, old, new, old_text, new_text, shared=shared, owner=named)

    def _records(self, old: Record, new: Record, a: SpecPath, b: SpecPath, shared: SpecPath | None) -> Iterator[Change]:
        for each in declared(type(old)).values():
            origin = (*shared, each.name) if shared else None
            if each.param.inherits and b:
                origin = (b[0], each.param.inherits)
            values = getattr(old, each.name), getattr(new, each.name)
            yield from self.values(*values, (*a, each.name), (*b, each.name), each, origin, type(old))

    def _lists(self, old: Sequence[Any], new: Sequence[Any], a: SpecPath, b: SpecPath) -> Iterator[Change]:
        def distance(i: int, j: int) -> int:
            return sum(1 for each in self.values(old[i], new[j], (*a, i), (*b, j)) if not self._shared(each))

        pairs = aligned(len(old), len(new), distance, flipped=repr(old) > repr(new))
        self.rows[b] = pairs
        for i, j in pairs:
            yield from self.values(
                MISSING if i is None else old[i], MISSING if j is None else new[j], (*a, i or 0), (*b, j or 0)
            )

    def _shared(self, change: Change) -> bool:
        """Whether a row's change is one of the settings that rows start from."""
        if change.shared is None:
            return False
        old, new = (_at(family, change.shared[1:]) for family in self.families)
        return (old, new) == (change.old, change.new)


def _rows(value: Any) -> bool:
    """Whether a value is a list of records, which are told apart; lists of plain values are choices as a whole."""
    return isinstance(value, tuple) and all(isinstance(item, Record) for item in value)


def _at(value: Any, path: SpecPath) -> Any:
    for part in path:
        value = getattr(value, str(part), MISSING)
    return value


def _under_causes(found: Sequence[Change], lineages: tuple[Conventions, Conventions]) -> Iterator[Change]:
    """Changes that follow from another one, put under it."""
    by_path = {change.path: index for index, change in enumerate(found) if change.shared is None}
    convention = by_path.get(("convention",))
    under: dict[int, list[Change]] = {}
    own = []
    for index, change in enumerate(found):
        cause = by_path.get(change.shared) if change.shared else None
        if cause is not None and (found[cause].old, found[cause].new) != (change.old, change.new):
            cause = None
        if convention is not None and _conventional(change, lineages):
            cause = convention
        if cause is None:
            own.append(index)
        else:
            under.setdefault(cause, []).append(change)
    for index in own:
        yield replace(found[index], follows=tuple(under.get(index, ())))


def _conventional(change: Change, lineages: tuple[Conventions, Conventions]) -> bool:
    """Whether both values are what the two conventions give a component where nobody writes anything."""
    owner, name = change.owner or (Record, "")
    if change.kind != "changed" or not issubclass(owner, Component):
        return False
    field, key = declared(owner)[name], f"{owner.kind}.{owner.name}"
    given = [each.get(key, {}).get(name) for each in lineages]
    if given == [None, None] or field.required:
        return False
    values = [parse(field.type, value, each, field.default) for value, each in zip(given, lineages, strict=True)]
    return values == [change.old, change.new]
