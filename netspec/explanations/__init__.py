"""What every diagnostic's code means: one page per code beside this file, `NS302.md`, with fixed headings."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path

from netspec.errors import Diagnostic, UsageError

_FOLDER = Path(__file__).parent


def codes() -> list[str]:
    """Every documented code."""
    return sorted(path.stem for path in _FOLDER.glob("NS*.md"))


def page(code: str) -> str:
    """The page of one code. Raises UsageError (NS925) where there is none."""
    wanted = code.upper()
    if wanted not in codes():
        close = get_close_matches(wanted, codes(), n=3)
        helps = (f"did you mean {' or '.join(close)}?",) if close else ()
        raise UsageError(
            Diagnostic("NS925", f"`{code}` is not a code of netspec", help=(*helps, "`netspec explain` lists all"))
        )
    return (_FOLDER / f"{wanted}.md").read_text(encoding="utf-8")


def index() -> str:
    """Every code with the title of its page."""
    lines = []
    for code in codes():
        title = (_FOLDER / f"{code}.md").read_text(encoding="utf-8").splitlines()[0]
        lines.append(title.removeprefix("# "))
    return "\n".join(lines) + "\n"
