"""A shipped spec under another name: its own text, comments and all, to be edited."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from netspec import shipped
from netspec.errors import Diagnostic, UsageError

_NAME = re.compile(r"^name: .*$", re.MULTILINE)
_EXTENDS = re.compile(r"^extends: (\S+)$", re.MULTILINE)


@dataclass(frozen=True)
class Copy:
    """The text of a spec, and the shipped files that it extends by the names that it has for them."""

    text: str
    beside: tuple[Path, ...]


def like(model: str, name: str) -> Copy:
    """The shipped spec `model`, called `name`. The last part of its name is enough where no other has it.

    Raises UsageError NS926 where none or several are called so.
    """
    path = _find(model)
    text = _NAME.sub(f"name: {name}", path.read_text(encoding="utf-8"), count=1)
    return Copy(text, tuple(_extended(path)))


def _find(model: str) -> Path:
    near = shipped.near(model)
    found = shipped.find(model) or (shipped.find(near[0]) if _stems(near) == [Path(model).stem] else None)
    if found is not None:
        return found
    meant = " or ".join(f"`{each}`" for each in near)
    help = (f"did you mean {meant}?",) if near else ()
    raise UsageError(
        Diagnostic("NS926", f"no shipped spec is called `{model}`", help=(*help, "`netspec list spec` names them all"))
    )


def _stems(names: list[str]) -> list[str]:
    return [name.rpartition("/")[2] for name in names]


def _extended(path: Path) -> list[Path]:
    match = _EXTENDS.search(path.read_text(encoding="utf-8"))
    if match is None:
        return []
    base = path.parent / match[1]
    return [base, *_extended(base)]
