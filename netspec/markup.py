"""environment(): the jinja2 templates beside a package, compiled once: the result lies where Python keeps its own."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Environment

# A name may hold markup, so all that is put in is escaped.
_OPTIONS: dict[str, Any] = {
    "autoescape": True,
    "trim_blocks": True,
    "lstrip_blocks": True,
    "keep_trailing_newline": True,
}


def environment(folder: Path) -> Environment:
    """The templates of a folder; what is undefined is an error. jinja2 is imported now, in some 20 ms."""
    from jinja2 import Environment, FileSystemBytecodeCache, FileSystemLoader, StrictUndefined

    kept = folder / "__pycache__"
    # Other options compile to other code, which the cache cannot see: they are part of the name.
    compiled = FileSystemBytecodeCache(str(kept), f"{'-'.join(_OPTIONS)}-%s.cache") if _can_keep(kept) else None
    return Environment(loader=FileSystemLoader(folder), undefined=StrictUndefined, bytecode_cache=compiled, **_OPTIONS)


def _can_keep(folder: Path) -> bool:
    """Whether compiled templates may lie there: as for modules, nobody has to be able to write."""
    if sys.dont_write_bytecode:
        return False
    try:
        folder.mkdir(exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.R_OK | os.W_OK)
