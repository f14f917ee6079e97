"""The specs that come with netspec, by name: folder and file, as in `tiny/unet`."""

from __future__ import annotations

from functools import cache
from pathlib import Path


@cache
def folder() -> Path:
    """Where they lie: inside an installed package, beside it in a checkout."""
    inside = Path(__file__).parent / "specs"
    return inside if inside.is_dir() else Path(__file__).parent.parent / "specs"


def names() -> list[str]:
    """Every shipped spec."""
    return sorted(path.relative_to(folder()).with_suffix("").as_posix() for path in folder().glob("*/*.yaml"))


def find(name: str) -> Path | None:
    """The file of a shipped spec; None where the name is none."""
    return folder() / f"{name}.yaml" if name in names() else None
