"""A page of docs/ as something to do: its files are written, its commands run, and what they print is compared.

A block with a title is a file (`yaml title="net.yaml"`), there from the start. Then, in the order of the page: a
`console` block holds commands and what they print, a `python` block without a title is a script. In what is printed,
`…` stands for anything in a line, and alone on a line for any lines. A file below `netspec/` or `exporters/` is written
into a copy of the package; an entry point in a `pyproject.toml` is found as if it were installed. Other languages are
only read.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
FENCE = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)
PACKAGES = ("netspec", "exporters")
WIDTH = "100"  # columns that the site shows


@dataclass(frozen=True)
class Block:
    """A fenced block; `start` and `end` are where its body lies in the page."""

    language: str
    title: str
    body: str
    start: int
    end: int


def blocks(text: str) -> list[Block]:
    """Every fenced block of a page that says its language."""
    return [Block(found[1], found[2] or "", found[3], found.start(3), found.end(3)) for found in FENCE.finditer(text)]


def commands(body: str) -> Iterator[tuple[str, str]]:
    """(command line, printed text) of a console block."""
    before, *parts = re.split(r"^\$ ", body, flags=re.MULTILINE)
    assert not before, "a console block begins with a command"
    for part in parts:
        command, _, printed = part.partition("\n")
        yield command, printed


def matches(said: str, printed: str) -> bool:
    """Whether a program printed what a page says."""
    lines = [re.escape(line.rstrip()).replace("…", ".*") + "\n" for line in said.rstrip().splitlines()]
    pattern = "".join("(?:.*\n)*?" if line == ".*\n" else line for line in lines)
    found = "".join(f"{line.rstrip()}\n" for line in printed.rstrip().splitlines())
    return re.fullmatch(pattern, found) is not None


class Scratch:
    """A folder to do a page in. It looks like the repository; what is built there stays there."""

    def __init__(self, folder: Path, text: str) -> None:
        self.folder = folder
        files = [block for block in blocks(text) if block.title]
        for name in ("specs", "examples", "tests"):
            (folder / name).symlink_to(ROOT / name)
        for name in PACKAGES if {block.title.partition("/")[0] for block in files} & {*PACKAGES} else ():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        for block in files:
            self._write(block)

    def run(self, steps: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
        """(what is printed, the traceback or "") of each step, all in one process: (`console`, a command) or (`python`,
        a script). This folder comes before the repository."""
        ran = subprocess.run(
            [sys.executable, "-P", str(ROOT / "tests" / "steps.py")],
            cwd=self.folder,
            input=json.dumps(steps),
            stdout=subprocess.PIPE,
            text=True,
            timeout=600,
            check=True,
            env={**os.environ, "PYTHONPATH": f"{self.folder}{os.pathsep}{ROOT}", "COLUMNS": WIDTH, "NO_COLOR": "1"},
        )
        return [(printed, broken) for printed, broken in json.loads(ran.stdout.splitlines()[-1])]

    def _write(self, block: Block) -> None:
        path = self.folder / block.title
        assert not path.exists(), f"{block.title} is written twice"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.body, encoding="utf-8")
        if block.title == "pyproject.toml":
            self._install(tomllib.loads(block.body)["project"]["entry-points"])

    def _install(self, groups: dict[str, dict[str, str]]) -> None:
        folder = self.folder / "page-1.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: page\nVersion: 1\n")
        lines = (f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in names.items()) for group, names in groups.items())
        (folder / "entry_points.txt").write_text("\n".join(lines))


def steps(text: str) -> Iterator[tuple[str, str, str, Block]]:
    """(kind, what to do, what the page says of it, its block) for all that a page does."""
    for block in blocks(text):
        if block.language == "console":
            yield from (("console", line, said, block) for line, said in commands(block.body))
        elif block.language == "python" and not block.title:
            yield "python", block.body, "", block


def done(text: str, folder: Path) -> tuple[str, list[str], list[str]]:
    """Do a page: the page as it should read, what is wrong with it as it reads, and what only its author can mend: what
    breaks down, and what is printed otherwise around an `…`."""
    planned = list(steps(text))
    results = Scratch(folder, text).run([(kind, what) for kind, what, _, _ in planned])
    bodies: dict[Block, str] = {}
    wrong, broken = [], []
    for (kind, what, said, block), (printed, failed) in zip(planned, results, strict=True):
        if failed:
            broken.append(f"{what}\n{failed}")
        elif kind == "console" and not matches(said, printed):
            (broken if "…" in said else wrong).append(f"$ {what}\n{printed}")
            said = said if "…" in said else "".join(f"{line.rstrip()}\n" for line in printed.splitlines())
        if kind == "console":
            bodies[block] = f"{bodies.get(block, '')}$ {what}\n{said}"
    for block, body in reversed(bodies.items()):
        text = text[: block.start] + body + text[block.end :]
    return text, wrong, broken
