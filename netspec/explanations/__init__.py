"""What every diagnostic's code means: a page for each, with fixed headings.

Pages are files beside this one, `NS302.md`; those of lints are the docstrings of their rules.
"""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path

from netspec import lints
from netspec.errors import Diagnostic, UsageError

_FOLDER = Path(__file__).parent


def codes() -> list[str]:
    """Every documented code."""
    return sorted([*(path.stem for path in _FOLDER.glob("NS*.md")), *lints.rules()])


def page(code: str) -> str:
    """The page of one code. Raises UsageError (NS925) where there is none."""
    wanted = code.upper()
    if wanted not in codes():
        close = get_close_matches(wanted, codes(), n=3)
        helps = (f"did you mean {' or '.join(close)}?",) if close else ()
        raise UsageError(
            Diagnostic("NS925", f"`{code}` is not a code of netspec", help=(*helps, "`netspec explain` lists all"))
        )
    return _text(wanted)


def index() -> str:
    """Every code with the title of its page."""
    return "".join(_text(code).partition("\n")[0].removeprefix("# ") + "\n" for code in codes())


def _text(code: str) -> str:
    rule = lints.rules().get(code)
    return rule.page() if rule else (_FOLDER / f"{code}.md").read_text(encoding="utf-8")
