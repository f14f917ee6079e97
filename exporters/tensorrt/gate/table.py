"""The operator table and the versions of TensorRT, read from operators.yaml once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeAlias

import yaml

from netspec.errors import Diagnostic, UsageError

Number: TypeAlias = tuple[int, ...]  # a version: (10, 3)

_GROUPS = {"float": ("FP32", "FP16", "BF16"), "int": ("INT32", "INT64")}


@dataclass(frozen=True)
class Operator:
    """What one version's parser takes of one operator; the keys are explained at the top of operators.yaml."""

    types: tuple[str, ...]
    data: int | Literal["output", "none"] = 0
    since: str = ""
    forms: Mapping[int, str] = field(default_factory=dict)
    attributes: Mapping[str, list[Any]] = field(default_factory=dict)
    ranks: Mapping[int, list[int]] = field(default_factory=dict)
    constant: tuple[int, ...] = ()
    resolvable: tuple[int, ...] = ()
    equal: Mapping[int, float] = field(default_factory=dict)
    below: Mapping[int, int] = field(default_factory=dict)
    fixed: tuple[int, ...] = ()
    inputs: Mapping[int, str] = field(default_factory=dict)
    without: tuple[int, ...] = ()
    without_attributes: tuple[str, ...] = ()
    outputs: int | None = None
    same: tuple[int, ...] = ()
    changes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def at(self, version: Number) -> Operator:
        """With the changes up to a version."""
        changed = self
        for since, keys in self.changes.items():
            if number(since) <= version:
                changed = replace(changed, **_read(keys))
        return changed


@dataclass(frozen=True)
class Version:
    """One TensorRT. `newest_opset` is the newest that its parser documents, in `source`."""

    name: str
    number: Number
    oldest_opset: int
    newest_opset: int
    source: str
    largest_head: int
    head_multiple: int
    operators: Mapping[str, Operator] = field(repr=False)
    unsupported: frozenset[str] = field(repr=False)

    def has(self, since: str) -> bool:
        return not since or number(since) <= self.number


@cache
def _table() -> dict[str, Any]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    text = Path(__file__).with_name("operators.yaml").read_text(encoding="utf-8")
    table: dict[str, Any] = yaml.load(text, loader)
    table["operators"] = {name: Operator(**_read(keys)) for name, keys in table["operators"].items()}
    return table


def number(version: str) -> Number:
    """`10.14` as (10, 14): versions are compared part by part."""
    return tuple(int(part) for part in version.split("."))


@cache
def version(name: str) -> Version:
    """The version of a name such as `10.3`, `11` or `tensorrt-11`. Raises UsageError NS545 for others."""
    table = _table()
    plain = table["aliases"].get(name.removeprefix("tensorrt-"), name.removeprefix("tensorrt-"))
    oldest, newest = next(iter(table["opsets"])), table["newest"]
    parts = plain.split(".")
    known = len(parts) > 1 and all(part.isdigit() for part in parts)
    if not known or not number(oldest) <= number(plain)[:2] <= number(newest):
        raise UsageError(
            Diagnostic(
                "NS545",
                f"`{name}` is no version of TensorRT that the gate knows",
                help=(f"from {oldest} to {newest}, such as 10.3 (JetPack 6), 10.14 or 11",),
            )
        )
    found = number(plain)
    opsets = [entry for since, entry in table["opsets"].items() if number(since) <= found]
    return Version(
        name=plain,
        number=found,
        oldest_opset=table["oldest_opset"],
        newest_opset=opsets[-1]["newest"],
        source=opsets[-1]["source"],
        largest_head=table["head_size"]["largest"],
        head_multiple=table["head_size"]["multiple"],
        operators={name: operator.at(found) for name, operator in table["operators"].items()},
        unsupported=frozenset(table["unsupported"]),
    )


def _read(keys: Mapping[str, Any]) -> dict[str, Any]:
    read = {key: tuple(value) if isinstance(value, list) else value for key, value in keys.items()}
    if "types" in read:
        read["types"] = tuple(kind for name in read["types"] for kind in _GROUPS.get(name, (name,)))
    return read
