"""Every file of tests/invalid/ and every hostile file is refused with exactly the words beside it.

`NN_name.yaml` has its output in `NN_name.txt`; a first line `# args: --variant b-9` holds further arguments. Files that
no repository should hold are made by hostile.py, their output is `hostile_<name>.txt`. After a change of words:
`pytest --regen tests/test_invalid.py`, and read the diff as a user would.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import hostile
import pytest

from netspec import cli, target, transform

ROOT = Path(__file__).parent.parent
FOLDER = Path(__file__).parent / "invalid"
FILES = sorted(FOLDER.glob("*.yaml"))
USAGE = {"31_set_no_equals"}  # the command line is wrong, not the spec
CODE = re.compile(r"^error\[(NS\d\d\d)\]", re.MULTILINE)
MEBIBYTE = 2**20

Run = Callable[..., tuple[str, int]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """`run("check", "a.yaml")`: what the command prints, and its exit code."""
    monkeypatch.setattr(target, "names", lambda: ("onnx",))  # whatever else is installed here
    monkeypatch.setattr(transform, "names", lambda: ("chunked_attention", "static_group_norm"))

    def call(*arguments: str) -> tuple[str, int]:
        monkeypatch.setattr(sys, "argv", ["netspec", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        printed = capsys.readouterr()
        return printed.out + printed.err, int(stopped.value.code or 0)

    return call


def arguments_of(path: Path) -> list[str]:
    """The command's arguments besides the file."""
    first = path.read_text(encoding="utf-8").partition("\n")[0]
    return shlex.split(first.removeprefix("# args:")) if first.startswith("# args:") else []


def compare(request: pytest.FixtureRequest, name: str, text: str) -> None:
    golden = FOLDER / f"{name}.txt"
    if request.config.getoption("--regen"):
        golden.write_text(text, encoding="utf-8")
    assert golden.exists(), f"{golden.name} is missing: run pytest --regen and read what it wrote"
    assert text == golden.read_text(encoding="utf-8")


def formats_agree(run: Run, arguments: list[str], codes: list[str]) -> None:
    """The machine formats are well formed and tell of the same findings."""
    assert re.findall(r"error\[(NS\d{3})\]: ", run(*arguments, "--format", "concise")[0]) == codes
    found = json.loads(run(*arguments, "--format", "json")[0])["diagnostics"]
    assert [each["code"] for each in found] == codes
    assert all(each["message"] and each["level"] == "error" for each in found)
    lines = run(*arguments, "--format", "github")[0].splitlines()
    assert len(lines) == len(codes)
    assert all(
        line.startswith("::error ") and f"title={code}::" in line for line, code in zip(lines, codes, strict=True)
    )
    log = json.loads(run(*arguments, "--format", "sarif")[0])
    assert [result["ruleId"] for result in log["runs"][0]["results"]] == codes


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_wrong_spec_is_explained(
    path: Path, run: Run, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(FOLDER)
    arguments = ["check", path.name, *arguments_of(path)]
    text, code = run(*arguments)
    compare(request, path.stem, text)
    assert code == (2 if path.stem in USAGE else 1)
    assert "Traceback" not in text
    codes = CODE.findall(text)
    assert codes, "nothing was found"
    if path.stem not in USAGE:
        formats_agree(run, arguments, codes)


@pytest.mark.parametrize("make", hostile.MAKERS, ids=lambda make: make.__name__)
def test_a_hostile_file_is_explained(
    make: Callable[[], str],
    run: Run,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = ["check", make()]
    text, code = run(*arguments)
    compare(request, f"hostile_{make.__name__}", text)
    assert code == 1
    assert "Traceback" not in text
    formats_agree(run, arguments, CODE.findall(text))


# Everything is imported first, so that the clock covers the refusal alone. The peak is this program's own: ru_maxrss
# would begin with that of the process that forked it.
_MEASURED = """
import re, resource, sys, time
resource.setrlimit(resource.RLIMIT_CPU, (20, 20))  # a spin ends here, not the session
from netspec import api, render
from netspec.validation import findings
before = time.process_time()
text = render.render(api.check(sys.argv[1]))
seconds = time.process_time() - before
print(seconds, 1024 * int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]), len(text))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the peak memory of a program is read from /proc")
@pytest.mark.parametrize("make", hostile.MAKERS, ids=lambda make: make.__name__)
def test_a_hostile_file_costs_little(make: Callable[[], str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", _MEASURED, make()],
        capture_output=True,
        text=True,
        timeout=30,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    seconds, memory, length = done.stdout.split()
    assert float(seconds) < 1
    assert float(memory) < 300 * MEBIBYTE
    assert int(length) < 100_000, "an answer that nobody reads"


@pytest.mark.parametrize(
    "line",
    [
        'name: !!python/object/apply:os.system ["touch ran"]',
        "name: !!python/object/new:subprocess.Popen [[touch, ran]]",
        'name: !!python/name:os.system ""',
        "unet: {_target_: os.system, command: touch ran}",
        "name: \"${eval:__import__('os').system('touch ran')}\"",
        "name: \"{{ ''.__class__.__mro__ }}\"",
        "unet: {block: {type: os.system}}",
        'unet: {block: {type: "../../ran"}}',
        "targets: {x: {exporter: 'os:system'}}",
        "inputs: {__class__: [batch]}",
        "inputs: {'x): import os; os.system(\"touch ran\"); (y': [batch, 3, 64, 64]}",
        "convention: ../../ran",
        "extends: '`touch ran`'",
    ],
)
def test_nothing_in_a_spec_runs(line: str, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "system", lambda command: pytest.fail(f"ran {command}"))
    monkeypatch.setattr(subprocess, "Popen", lambda *command, **_: pytest.fail(f"ran {command}"))
    key = line.partition(":")[0]
    rest = [each for each in hostile.UNET.splitlines() if not each.startswith(f"{key}:")]
    tail = [] if key == "unet" else ["unet: {levels: [32], block: {modulation: none}}"]
    Path("spec.yaml").write_text("\n".join([*rest, *tail, line, ""]))
    text, code = run("check", "spec.yaml")
    assert code == 1
    assert CODE.search(text)
    assert [path.name for path in tmp_path.iterdir()] == ["spec.yaml"]


def test_every_golden_belongs_to_a_file() -> None:
    made = {path.stem for path in FILES} | {f"hostile_{make.__name__}" for make in hostile.MAKERS}
    assert {path.stem for path in FOLDER.glob("*.txt")} == made
    assert len(made) >= 45
