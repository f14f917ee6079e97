"""The specs that come with netspec, by name: folder and file, as in `tiny/unet`."""

from __future__ import annotations

from difflib import get_close_matches
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
    """The file of a shipped spec, `.yaml` or not; None where the name is none."""
    name = name.removesuffix(".yaml")
    return folder() / f"{name}.yaml" if name in names() else None


def near(name: str) -> list[str]:
    """The shipped specs that somebody may have meant by a name that is none."""
    wanted = Path(name).stem
    stems = {each.rpartition("/")[2] for each in names()}
    close = [wanted] if wanted in stems else get_close_matches(wanted, sorted(stems), n=3, cutoff=0.7)
    return [each for each in names() if each.rpartition("/")[2] in close]
