"""Every code has a page, every page a code, and every code that a spec can cause a file that causes it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from netspec import explanations, lints
from netspec.errors import UsageError

ROOT = Path(__file__).parent.parent.parent
PAGES = sorted((ROOT / "netspec" / "explanations").glob("NS*.md"))
HEADINGS = ["## What it means", "## Why it matters", "## Example", "## What to do"]
CODE = re.compile(r"\bNS\d{3}\b")

# Codes below NS500 that no invalid file can cause, and why; each has a test elsewhere.
NOT_BY_CHECK = {
    "NS209": "an argument of netspec.build",
    "NS212": "an argument of netspec build",
    "NS213": "the exporter is asked by netspec build",
    "NS214": "the exporter is asked by netspec build",
    "NS217": "the exporter is asked by netspec build",
    "NS241": "the transform is asked by netspec build",
    "NS242": "the network is traced by netspec build",
    "NS243": "the network is traced by netspec build",
    "NS244": "a fault of a plugin",
    "NS307": "no shipped component puts a norm of images on tokens; a plugin can",
}


def raised() -> set[str]:
    """Every code in a string of the source: docstrings and comments, which name ranges, do not count."""
    literal = re.compile(r"""["'](NS\d{3})["']""")
    files = [path for package in ("netspec", "exporters") for path in (ROOT / package).rglob("*.py")]
    return {code for path in files for code in literal.findall(path.read_text(encoding="utf-8"))}


def fired() -> set[str]:
    """Every code in the golden output of an invalid file."""
    return {
        code
        for path in (ROOT / "tests" / "invalid").glob("*.txt")
        for code in re.findall(r"^error\[(NS\d{3})\]", path.read_text(encoding="utf-8"), re.MULTILINE)
    }


def test_every_code_has_a_page_and_every_page_a_code() -> None:
    of_rules = set(lints.rules())  # their docstrings: tests/test_lints.py
    assert {path.stem for path in PAGES} | of_rules == raised()
    assert not {path.stem for path in PAGES} & of_rules


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_page_has_its_headings(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    assert re.fullmatch(rf"# {path.stem}: [^.]+", lines[0])
    assert [line for line in lines if line.startswith("#") and not line.startswith("# ")] == HEADINGS
    sections = re.split(r"^## .*$", "\n".join(lines), flags=re.MULTILINE)[1:]
    assert all(section.strip() for section in sections), "a heading with nothing under it"
    fenced = re.findall(r"^```(\w*)$", sections[2], re.MULTILINE)
    assert fenced[0] in ("yaml", "python", "console")
    assert fenced[1:] == [""]


def test_every_code_of_a_spec_has_a_file_that_causes_it() -> None:
    of_specs = {code for code in raised() if code < "NS500"}
    assert of_specs - fired() == set(NOT_BY_CHECK)


def test_index_lists_every_title() -> None:
    lines = explanations.index().splitlines()
    assert len(lines) == len(PAGES) + len(lints.rules())
    assert "NS302: channels do not split into heads" in lines


def test_page_is_found_in_any_case() -> None:
    assert explanations.page("ns302").startswith("# NS302: ")


def test_unknown_code_is_a_usage_error() -> None:
    with pytest.raises(UsageError) as caught:
        explanations.page("NS32")
    (found,) = caught.value.diagnostics
    assert found.code == "NS925"
    assert any("NS302" in each or "did you mean" in each for each in found.help)
