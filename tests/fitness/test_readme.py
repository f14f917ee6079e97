"""Every command of the README prints what the README says, to the letter."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from netspec import api, compiler, shipped

ROOT = Path(__file__).parent.parent.parent
BLOCK = re.compile(r"^```console\n(?P<body>\$ netspec .*?)^```$", re.MULTILINE | re.DOTALL)


def commands(text: str) -> list[tuple[str, str]]:
    """(command line, printed text) for every `$ ` line of the blocks that begin with `$ netspec`."""
    found: list[tuple[str, str]] = []
    for block in BLOCK.finditer(text):
        for part in re.split(r"^\$ ", block["body"], flags=re.MULTILINE)[1:]:
            command, _, printed = part.partition("\n")
            found.append((command, printed))
    return found


def stripped(text: str) -> list[str]:
    return [line.rstrip() for line in text.rstrip().splitlines()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A place to run in that looks like the repository; what is built there stays there."""
    path = tmp_path_factory.mktemp("readme")
    for name in ("specs", "tests", "examples"):
        (path / name).symlink_to(ROOT / name)
    return path


@pytest.mark.parametrize(("command", "printed"), commands((ROOT / "README.md").read_text(encoding="utf-8")))
def test_readme_command_prints_what_it_says(command: str, printed: str, folder: Path) -> None:
    name, *arguments = shlex.split(command)
    assert name == "netspec", "every command of such a block is netspec's"
    script = "from netspec.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "120"},
    )
    assert stripped(done.stdout + done.stderr) == stripped(printed)


def test_the_first_build_writes_what_it_shows(folder: Path) -> None:
    """Its files to the byte, but for the weights: random numbers, like parity's digits, are those of a processor."""
    shown = re.search(r"^\$ make build SPEC=(\S+)\n(.*?)^parity", (ROOT / "README.md").read_text("utf-8"), re.M | re.S)
    assert shown, "the block with the first build is gone"
    rows = [line.split() for line in shown[2].splitlines()[2:]]
    plan = api.lower(api.load(ROOT / shown[1]))
    built = compiler.compile(plan.spec, folder / "first", compiler.Options(parity=False))
    files = {name: (f"{entry.bytes:,}", entry.sha256[:12]) for name, entry in built.manifest.files.items()}
    files.pop("report.html")  # it names the versions of what made it
    assert shown[2].splitlines()[0] == f"{plan.spec.name}  {plan.cost.params:,} parameters"
    assert {name: size for name, size, _ in rows} == {name: size for name, (size, _) in files.items()}
    assert {name: sha for name, _, sha in rows if name != "model.safetensors"} == {
        name: sha for name, (_, sha) in files.items() if name != "model.safetensors"
    }


def test_blocks_are_found_and_told_apart() -> None:
    text = "```console\n$ netspec a\n1\n\n2\n$ netspec b\n```\n\n```console\n$ make test\n```\n"
    assert commands(text) == [("netspec a", "1\n\n2\n"), ("netspec b", "")]


PYTHON = re.compile(r"^```python\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)


def python_blocks(text: str) -> list[str]:
    return [block["code"] for block in PYTHON.finditer(text)]


@pytest.mark.parametrize("code", python_blocks((ROOT / "README.md").read_text(encoding="utf-8")))
def test_readme_python_runs(code: str, folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr


def test_the_table_names_every_spec_and_its_counts() -> None:
    _, _, table = (ROOT / "README.md").read_text(encoding="utf-8").partition("| specs | parameters | source |\n")
    named: set[str] = set()
    for row in re.findall(r"^\| (`\w+/\w+`.*)\|$", table.partition("\n\n")[0], re.MULTILINE):
        words = re.findall(r"`([a-z_]+/)?([a-z0-9_]+)`", row.partition(":")[0])
        folder = words[0][0]
        specs = {f"{folder}{word}" for _, word in words} & set(shipped.names())
        counts = {count for name in specs for count in counts_of(name)}
        named |= specs
        assert {int(number.replace(",", "")) for number in re.findall(r"\d+(?:,\d{3})+", row)} <= counts, row
    assert named == {name for name in shipped.names() if not name.startswith("tiny/")}


def counts_of(name: str) -> set[int]:
    """Trained and fixed numbers of a shipped spec and of its variants."""
    plans = [api.lower(api.load(name, variant=variant)) for variant in (None, *api.load(name).variants)]
    return {count for plan in plans for count in (plan.cost.params, plan.cost.frozen)}
