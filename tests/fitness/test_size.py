"""A file holds one idea and a function one step; where one grows past this, it holds two."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
LONGEST_FILE = 400
LONGEST_FUNCTION = 60

# Files and functions that are long and one idea all the same.
EXCEPTIONS: dict[str, str] = {
    "tests/test_lowering.py": "one table of leaves with their shapes, and what runs over it",
    "tests/test_components.py": "the properties that every component has, over one registry",
    "tests/unit/test_render.py": "one example for each thing that a rendering can hold",
    "tests/unit/test_document.py": "one example for each thing that YAML can get wrong",
    "tests/unit/test_planner.py": "one example for each way in which sizes do not work out",
}


def sources() -> Iterator[Path]:
    for folder in ("netspec", "exporters", "tests", "benchmarks", "examples"):
        yield from sorted((ROOT / folder).rglob("*.py"))


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_files_are_short() -> None:
    long = {name(path): len(path.read_text(encoding="utf-8").splitlines()) for path in sources()}
    found = {path: lines for path, lines in long.items() if lines > LONGEST_FILE}
    assert found.keys() - EXCEPTIONS.keys() == set(), found


def test_functions_are_short() -> None:
    found = {}
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno is not None:
                lines = node.end_lineno - node.lineno + 1
                if lines > LONGEST_FUNCTION:
                    found[f"{name(path)}:{node.name}"] = lines
    assert found.keys() - EXCEPTIONS.keys() == set(), found


def test_exceptions_are_still_needed() -> None:
    for path in EXCEPTIONS:
        lines = len((ROOT / path).read_text(encoding="utf-8").splitlines())
        assert lines > 0.9 * LONGEST_FILE, f"{path} became short"
