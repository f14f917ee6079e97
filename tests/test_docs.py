"""The documentation does what it says: its commands, its recipes, its fragments of specs; and the site builds."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import jsonschema
import pytest
from typer.main import get_command

from netspec import document, explanations, schema, shipped
from netspec.cli import app
from netspec.reference import beside
from tests import browser
from tests.documents import DOCS, ROOT, blocks, commands, done, matches, steps

GENERATED = ("reference", "specs.md", "diagnostics.md")
PAGES = {
    path.relative_to(DOCS).as_posix(): path.read_text(encoding="utf-8")
    for path in sorted(DOCS.rglob("*.md"))
    if path.relative_to(DOCS).parts[0] not in GENERATED
}


@pytest.mark.parametrize("name", [name for name, text in PAGES.items() if any(steps(text))])
def test_a_page_does_what_it_says(name: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    text, wrong, broken = done(PAGES[name], tmp_path)
    assert not broken, "\n".join(broken)
    if request.config.getoption("--regen"):
        (DOCS / name).write_text(text, encoding="utf-8")
    else:
        assert not wrong, "\n".join(wrong)


def test_what_is_printed_is_compared() -> None:
    assert matches("a\nb\n", "a  \nb\n\n")
    assert matches("took … s\n…\nend", "took 3.1 s\n1\n2\nend\n")
    assert matches("…\nend", "end")
    assert not matches("took … s", "took 3\ns")
    assert not matches("a.c", "abc")
    assert list(commands("$ netspec a\n1\n\n2\n$ netspec b\n")) == [("netspec a", "1\n\n2\n"), ("netspec b", "")]


def test_a_page_that_is_wrong_is_noticed_and_mended(tmp_path: Path) -> None:
    page = "```console\n$ netspec explain NS002\nno\n$ netspec explain NS1\n… no code …\n```\n\n```python\n1 / 0\n```\n"
    text, wrong, broken = done(page, tmp_path)
    assert [each.partition("\n")[0] for each in wrong] == ["$ netspec explain NS002"]
    assert [each.partition("\n")[0] for each in broken] == ["$ netspec explain NS1", "1 / 0"]
    assert text.startswith("```console\n$ netspec explain NS002\n# NS002: duplicate key\n")
    assert text.endswith("$ netspec explain NS1\n… no code …\n```\n\n```python\n1 / 0\n```\n")


def test_recipes_keep_the_rules_of_the_house(tmp_path: Path) -> None:
    files = [(name, block) for name, text in PAGES.items() for block in blocks(text) if block.title.endswith(".py")]
    assert len(files) > 4
    for name, block in files:
        path = tmp_path / Path(name).stem / block.title
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.body, encoding="utf-8")
    ruff = [sys.executable, "-m", "ruff", "check", "--config", str(ROOT / "pyproject.toml"), "--ignore", "I001"]
    ran = subprocess.run([*ruff, str(tmp_path)], capture_output=True, text=True)  # imports are sorted otherwise there
    assert ran.returncode == 0, ran.stdout


def test_fragments_of_specs_are_valid() -> None:
    """A `yaml` block without a title whose keys are those of a spec: each value as the schema has it."""
    rules = schema.emit()
    found = 0
    for name, text in PAGES.items():
        for block in blocks(text):
            if block.language != "yaml" or block.title:
                continue
            data = document.loads(block.body, name).data
            if data.keys() <= rules["properties"].keys():
                node = {"properties": {key: rules["properties"][key] for key in data}, "$defs": rules["$defs"]}
                jsonschema.Draft202012Validator(node).validate(data)
                found += 1
    assert found > 5


def test_generated_pages_are_fresh(request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--regen"):
        beside.write(DOCS, ROOT / "specs")
    stale = [
        name for name, text in beside.texts(ROOT / "specs").items() if (DOCS / name).read_text(encoding="utf-8") != text
    ]
    assert not stale, "run `python -m netspec.reference`, and read what it wrote"


def test_links_to_files_of_the_repository_lead_somewhere() -> None:
    """Those that leave docs/, and those of the README and of CONTRIBUTING; within docs/ the site's build looks."""
    texts = {DOCS / name: text for name, text in PAGES.items()}
    texts |= {ROOT / name: (ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "CONTRIBUTING.md")}
    found = [
        (path.relative_to(ROOT).as_posix(), target)
        for path, text in texts.items()
        for target in re.findall(r"\]\((?!https?://|#)([^)\s#]+)", text)
        if not (path.parent / target).exists()
    ]
    assert not found


def test_sources_name_pages_that_exist() -> None:
    found = [
        (path.relative_to(ROOT).as_posix(), name)
        for folder in ("netspec", "exporters", "benchmarks", "tests")
        for path in sorted((ROOT / folder).rglob("*"))
        if path.suffix in (".py", ".md")
        for name in re.findall(r"(?<![\w/.-])docs/[\w/-]+\.md", path.read_text(encoding="utf-8"))
        if "onnx-tensorrt" not in name and not (ROOT / name).exists()
    ]
    assert not found


FENCED = re.compile(r"^```\w*(?: .*)?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def written_commands(text: str) -> Iterator[list[str]]:
    """The words of every command of netspec that a text shows, in a block or within a sentence."""
    for block in FENCED.findall(text):
        yield from (line.split() for line in re.findall(r"^(?:\$ )?netspec (.+)$", block, re.MULTILINE))
    yield from (span.split() for span in re.findall(r"`netspec\s+([^`]+)`", FENCED.sub("", text)))


def test_commands_and_their_options_exist() -> None:
    """Also those that no test can run, for want of a checkpoint or of a GPU."""
    root = get_command(app)
    texts = {**PAGES, **{name: (ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "CONTRIBUTING.md")}}
    found = [(name, words) for name, text in texts.items() for words in written_commands(text)]
    assert len(found) > 50
    for name, words in found:
        command = root
        while words and words[0].strip(",") in getattr(command, "commands", {}):
            command = command.commands[words.pop(0).strip(",")]
        known = {option for each in command.params for option in (*each.opts, *each.secondary_opts)}
        options = {option for word in words for option in re.findall(r"^\W?(--[a-z][a-z-]*)", word)}
        assert command is not root or options, f"{name}: `netspec {' '.join(words)}` is no command"
        assert options <= known, f"{name}: `netspec {command.name}` has no {options - known}"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as `make docs` does it."""
    if find_spec("mkdocs") is None:
        pytest.skip("mkdocs is not installed: pip install 'netspec[docs]'")
    folder = tmp_path_factory.mktemp("docs") / "site"
    ran = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "PYTHONPATH": str(ROOT), "NO_MKDOCS_2_WARNING": "1"},
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr  # a link or an anchor that leads nowhere is an error
    return folder


def test_every_spec_and_every_code_has_its_page(site: Path) -> None:
    pages = {path.relative_to(site).as_posix() for path in site.rglob("*.html")}
    assert pages >= {f"specs/{name}.html" for name in shipped.names()}
    assert pages >= {f"diagnostics/{code}.html" for code in explanations.codes()}
    assert pages >= {name.removesuffix(".md") + ".html" for name in PAGES}


def test_no_page_fetches_anything_from_elsewhere(site: Path) -> None:
    for path in [*site.rglob("*.html"), *site.rglob("*.css")]:
        text = path.read_text(encoding="utf-8")
        tags = re.findall(
            r"<(?:script|link|img|iframe|source)\b[^>]*?\b(?:src|href|srcset)=\"?((?:https?:)?//[^\"\s>]+)", text
        )
        assert not tags + re.findall(r"url\(\"?((?:https?:)?//[^)]+)", text), path.name


def test_pages_fit_show_their_pictures_and_complain_of_nothing(site: Path) -> None:
    with browser.started() as chromium:
        for name in ("index", "start", "families/unet", "reference/unet", "specs/unet/sdxl", "compare"):
            for width in (1280, 400):
                with browser.opened(chromium, site / f"{name}.html", width=width) as visit:
                    assert visit.overflow == 0, name
                    pictures = visit.page.locator(".picture")
                    assert all(each.locator("svg:visible").count() == 1 for each in pictures.all()), name
                    assert pictures.count() == {"families/unet": 2, "specs/unet/sdxl": 1, "compare": 1}.get(name, 0)
                assert visit.complaints == [], name
                assert [url for url in visit.requests if not url.startswith("file:")] == [], name
