"""The diagnostics as a page: every code by its range, linked to what `netspec explain` says."""

from __future__ import annotations

from collections import defaultdict

from netspec import explanations, lints
from netspec.render.reports import RANGES

FILE = "diagnostics.md"  # below docs/

_INTRODUCTION = """What `netspec` finds has a code, and each code a page: what it means, why it matters, an example, what to do.
`netspec explain NS302` prints the same page."""  # noqa: E501


def index(notice: str) -> str:
    """The page of all codes, for `docs/`."""
    parts = [notice, "# Diagnostics", _INTRODUCTION]
    ranges: dict[str, list[str]] = defaultdict(list)
    for code in explanations.codes():
        ranges[code[:3]].append(code)
    for prefix, codes in ranges.items():
        parts.append(f"## {prefix}xx: {RANGES[prefix][:1].lower()}{RANGES[prefix][1:]}")
        parts.append("\n".join(["| code | |", "|---|---|", *map(_row, codes)]))
    return "\n\n".join(parts) + "\n"


def title(code: str) -> str:
    """What a code is called: `channels do not split into heads`."""
    return explanations.page(code).partition("\n")[0].partition(": ")[2]


def source(code: str) -> str:
    """The file of the repository that explains a code: a page, or the rule whose docstring it is."""
    rule = lints.rules().get(code)
    return f"{rule.__module__.replace('.', '/')}.py" if rule else f"netspec/explanations/{code}.md"


def _row(code: str) -> str:
    return f"| [{code}](../{source(code)}) | {title(code).replace('|', chr(92) + '|')} |"
