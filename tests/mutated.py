"""Shipped specs with random damage: what is deleted, swapped, renamed or replaced by a value that no one means."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from random import Random
from typing import Any

VALUES: tuple[Any, ...] = (
    10**18, 2**63 - 1, -(2**63), -1, 0, 1, 3, 7, 4096, 1.5, 1e308, 1e-308, float("nan"), float("inf"), True, False,
    None, "", "none", "naïve", "层", "a b", "../x", "conv", "resnet", "level", "batch", "x", "t", "[", [], {}, [1],
    [[]], [0, 2, 10], ["x"], {"a": 1}, {"type": "rms"}, {"type": "nope"}, {"type": 5}, {"embed": []},
)  # fmt: skip
KEYS = (
    "kernel", "groups", "head_dim", "num_heads", "grid", "steps", "classes", "dim", "depth", "blocks", "multiplier",
    "base_channels", "eps", "scale", "type", "embed", "extends", "variants", "targets", "expect", "dims", "inputs",
    "output", "outputs", "min", "max", "attention", "transformer", "mid", "skip", "層", "__class__",
)  # fmt: skip
Path = tuple[Any, ...]


def mutated(random: Random, data: dict[str, Any]) -> dict[str, Any]:
    """A copy with one to six faults."""
    data = copy.deepcopy(data)
    for _ in range(random.choice([1, 1, 1, 2, 3, 6])):
        places = [path for path in _paths(data) if path]
        if places:
            _damage(random, data, random.choice(places), random.choice(places))
    return data


def _damage(random: Random, data: Any, path: Path, other: Path) -> None:
    parent, key = _at(data, path[:-1]), path[-1]
    kind = random.choice(["delete", "value", "swap", "add", "rename", "number"])
    if kind == "delete":
        del parent[key]
    elif kind == "swap" and other[: len(path)] != path:
        parent[key] = copy.deepcopy(_at(data, other))
    elif kind == "add" and isinstance(parent, dict):
        parent[random.choice(KEYS)] = copy.deepcopy(random.choice(VALUES))
    elif kind == "rename" and isinstance(parent, dict):
        parent[random.choice(KEYS)] = parent.pop(key)
    elif kind == "number" and type(parent[key]) is int:
        parent[key] = random.choice([10**18, -parent[key], parent[key] + 1, 2 * parent[key], float(parent[key])])
    else:
        parent[key] = copy.deepcopy(random.choice(VALUES))


def _paths(value: Any, path: Path = ()) -> Iterator[Path]:
    yield path
    for key, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from _paths(item, (*path, key))


def _at(value: Any, path: Path) -> Any:
    for part in path:
        value = value[part]
    return value
