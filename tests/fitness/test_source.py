"""What no source may hold: machine paths, notes to self, exports without words; and the schema is fresh."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from netspec import registry, schema

ROOT = Path(__file__).parent.parent.parent
SHIPPED = ("netspec", "exporters", "specs")
TEXTS = (".py", ".yaml", ".md", ".json", ".toml", ".txt", ".html", ".svg")

# Written in two halves, so that this file may be searched as well.
FORBIDDEN = {
    "a machine's path": re.compile(r"(?<![\w.~-])/(work|home|root|Users|tmp|mnt|opt|var)" + r"/\w"),
    "a drive": re.compile(r"\b[C-Z]:" + r"\\\w"),
    "a note to self": re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X|HA" + r"CK)\b"),
    "a part that is missing": re.compile("NotImplemented" + "Error"),
    "an excuse for doing nothing": re.compile(r"\bpass  " + "# "),
}


def texts() -> Iterator[Path]:
    for folder in SHIPPED:
        yield from (path for path in sorted((ROOT / folder).rglob("*")) if path.suffix in TEXTS)


@pytest.mark.parametrize("what", FORBIDDEN)
def test_no_source_holds(what: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in texts()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if FORBIDDEN[what].search(line)
    ]
    assert not found, found


def test_the_search_finds_what_it_looks_for() -> None:
    samples = ["x = '/ho" + "me/me/x'", "C" + ":\\x", "# TO" + "DO", "raise NotImplemented" + "Error", "pass  " + "# x"]
    for pattern, sample in zip(FORBIDDEN.values(), samples, strict=True):
        assert pattern.search(sample)


def undocumented(tree: ast.Module) -> Iterator[str]:
    """Public functions and classes of a module without a docstring. Methods say it where their class does not."""
    for node in tree.body:
        public = isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")
        if public and not ast.get_docstring(node):
            yield node.name


def test_public_names_are_documented() -> None:
    found = []
    for path in sorted((ROOT / "netspec").rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        assert ast.get_docstring(tree), f"{path.relative_to(ROOT)} does not say what it is"
        found += [f"{path.relative_to(ROOT)}: {name}" for name in undocumented(tree)]
    assert not found, found


def test_schema_is_fresh() -> None:
    registry.load_all()
    assert schema.PATH.read_text(encoding="utf-8") == schema.text(schema.emit()), "run `python -m netspec.schema`"


def test_every_benchmark_can_be_imported() -> None:
    names = sorted(path.stem for path in (ROOT / "benchmarks").glob("*.py") if not path.stem.startswith("__"))
    lines = [f"import benchmarks.{name}" for name in names]
    done = subprocess.run([sys.executable, "-c", "\n".join(lines)], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
