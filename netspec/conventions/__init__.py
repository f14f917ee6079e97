"""Conventions: the silent numerics of a lineage, as data.

Each `<name>.yaml` beside this file maps `kind.component` to settings that hold where a spec says nothing: epsilons,
the order of sines and cosines, paddings, initialisation. They lie between the components' defaults and the spec.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from netspec.document import load
from netspec.registry import Conventions

_FOLDER = Path(__file__).parent


def names() -> tuple[str, ...]:
    """Every convention that a spec can name."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.yaml")))


@cache
def settings(name: str) -> Conventions:
    """The settings of one convention by `kind.component`."""
    return load(_FOLDER / f"{name}.yaml").data or {}
