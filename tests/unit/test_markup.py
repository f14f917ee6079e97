"""Templates: what is put in is text, what is missing is an error, and what was compiled is compiled once."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from netspec import markup


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "page.j2").write_text("<p title='{{ name }}'>{{ name }}</p>\n")
    return tmp_path


def rendered(folder: Path) -> str:
    return markup.environment(folder).get_template("page.j2").render(name="<b>'")


def test_markup_in_a_name_is_text(folder: Path) -> None:
    assert rendered(folder) == "<p title='&lt;b&gt;&#39;'>&lt;b&gt;&#39;</p>\n"


def test_a_missing_name_is_an_error(folder: Path) -> None:
    from jinja2 import UndefinedError

    with pytest.raises(UndefinedError, match="name"):
        markup.environment(folder).get_template("page.j2").render()


def test_compiled_templates_lie_where_python_keeps_its_own(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    rendered(folder)
    assert [path.name for path in folder.iterdir()] == ["page.j2"]
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    first = rendered(folder)
    (kept,) = (folder / "__pycache__").iterdir()
    before = kept.stat().st_mtime_ns
    assert rendered(folder) == first and kept.stat().st_mtime_ns == before
    (folder / "page.j2").write_text("{{ name }}!")
    assert rendered(folder) == "&lt;b&gt;&#39;!", "a changed template is compiled again"


def test_a_folder_of_somebody_else_stays_as_it_is(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert rendered(folder).startswith("<p")
    (folder / "__pycache__").rmdir()

    def refuse(path: Path, **options: object) -> None:
        raise PermissionError(path)

    monkeypatch.setattr(Path, "mkdir", refuse)
    assert rendered(folder).startswith("<p")
