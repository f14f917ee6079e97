"""The generated pages beside the reference: the shipped specs and the diagnostics."""

from __future__ import annotations

from pathlib import Path

from netspec.reference import findings, shelf
from netspec.reference.pages import NOTICE

_NOTICE = NOTICE.partition(";")[0] + ". -->"


def texts(specs: Path) -> dict[str, str]:
    """Every page by its place below `docs/`."""
    return {shelf.FILE: shelf.index(_NOTICE, specs), findings.FILE: findings.index(_NOTICE)}


def write(folder: Path, specs: Path) -> None:
    """Write every page below `folder`."""
    for name, text in texts(specs).items():
        (folder / name).write_text(text, encoding="utf-8", newline="\n")
