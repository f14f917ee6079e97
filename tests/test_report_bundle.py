"""A report and its bundle: the same again from the files alone, with figures of a benchmark, by `netspec report`."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from netspec import api, cli, compiler
from netspec.bundle import Manifest, file_entry
from netspec.compiler import Options, compile
from netspec.errors import UsageError, WeightsError
from netspec.report import bundle as reports
from netspec.report import measured
from netspec.report.notes import Notes
from netspec.verification import verify
from tests.reports import FIGURES, HOSTILE, Parsed, parsed

SPECS = Path(__file__).parent.parent / "specs"


# --- the same again --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["unet", "dit"])
def test_it_is_written_again_from_the_bundle_alone(bundles: dict[str, Path], name: str) -> None:
    assert reports.page(bundles[name]) == (bundles[name] / reports.FILE).read_text(encoding="utf-8")


def test_equal_builds_are_equal_wherever_they_are_made(bundles: dict[str, Path], tmp_path: Path) -> None:
    copy = tmp_path / "elsewhere" / "dit.yaml"
    copy.parent.mkdir()
    shutil.copy(SPECS / "tiny" / "dit.yaml", copy)
    again = compile(api.load(copy), tmp_path / "out", Options()).folder
    assert (again / reports.FILE).read_bytes() == (bundles["dit"] / reports.FILE).read_bytes()
    assert str(tmp_path) not in (again / reports.FILE).read_text(encoding="utf-8")


def test_what_the_source_says_is_part_of_the_recipe(tmp_path: Path) -> None:
    path, out = tmp_path / "net.yaml", tmp_path / "out"
    text = (SPECS / "tiny" / "dit.yaml").read_text()
    path.write_text(text)
    options = Options(weights="none")
    assert not compile(api.load(path), out, options).fresh
    assert compile(api.load(path), out, options).fresh
    path.write_text(text + "# a comment that nobody shows\n")
    assert compile(api.load(path), out, options).fresh
    path.write_text(text.replace("# noisy latent", "# a latent"))
    assert not compile(api.load(path), out, options).fresh
    assert "a latent" in parsed(out).words("contract")


def test_other_weights_keep_what_the_source_said(bundles: dict[str, Path], tmp_path: Path) -> None:
    out = Path(shutil.copytree(bundles["dit"], tmp_path / "out"))
    before = (out / reports.FILE).read_text(encoding="utf-8")
    other = compile(api.load(SPECS / "tiny" / "dit.yaml"), tmp_path / "other", Options(seed=1)).folder
    compiler.bind(out, other / "model.safetensors")
    page = (out / reports.FILE).read_text(encoding="utf-8")
    assert Notes.read(page).origins == Notes.read(before).origins
    assert "dit.yaml:" in Parsed(page).words("stages")
    assert page != before
    assert reports.page(out) == page
    verify(out, parity=False)


def test_a_bundle_from_before_reports_gets_one(bundles: dict[str, Path], tmp_path: Path) -> None:
    out = Path(shutil.copytree(bundles["dit"], tmp_path / "out"))
    (out / reports.FILE).unlink()
    manifest = Manifest.read(out)
    replace(manifest, files={path: each for path, each in manifest.files.items() if path != reports.FILE}).write(out)
    assert "spec.yaml:" in Parsed(reports.page(out)).words("choices")


@pytest.mark.parametrize("name", ["spec.yaml", "report.html"])
def test_a_changed_file_is_not_reported_on(bundles: dict[str, Path], tmp_path: Path, name: str) -> None:
    out = Path(shutil.copytree(bundles["dit"], tmp_path / "out"))
    (out / name).write_text((out / name).read_text() + "\n")
    with pytest.raises(WeightsError, match="NS611"):
        reports.page(out)


def test_notes_of_somebody_else_are_refused(bundles: dict[str, Path], tmp_path: Path) -> None:
    out = Path(shutil.copytree(bundles["dit"], tmp_path / "out"))
    for content in ("<p>a page</p>", '<script type="application/json" id="notes">{"a": 1}</script>'):
        (out / reports.FILE).write_text(content)
        manifest = Manifest.read(out)
        entry = file_entry(content.encode())
        replace(manifest, files=manifest.files | {reports.FILE: entry}).write(out)
        with pytest.raises(WeightsError, match="NS614"):
            reports.page(out)


# --- figures ---------------------------------------------------------------------------------------------------------


def test_figures_are_told_by_backend_and_node(bundles: dict[str, Path], tmp_path: Path) -> None:
    path = tmp_path / "bench.json"
    path.write_text(json.dumps(FIGURES))
    page = reports.page(bundles["dit"], measured.read(path, "tiny-dit"))
    words = Parsed(page).words("latency")
    assert "onnx fp32 2.00 4.00 1,000.0 0.25" in words
    assert "gpu did not run: there is none" in words
    assert '<a href="#node-block_0">block_0</a>' in page
    assert re.search(r'<a href="#choice-\d+">dit.yaml:26</a>', page)
    assert HOSTILE not in page


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", "null", json.dumps(FIGURES | {"timings": [{}]}), json.dumps(FIGURES | {"name": "other"}),
     json.dumps(FIGURES | {"nodes": [{"rows": 3}]}), '{"a": ' * 100_000],
)  # fmt: skip
def test_other_files_hold_no_figures(tmp_path: Path, content: str) -> None:
    path = tmp_path / "bench.json"
    path.write_text(content)
    with pytest.raises(UsageError, match="NS936"):
        measured.read(path, "tiny-dit")


# --- the command -----------------------------------------------------------------------------------------------------


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """`run("DIR")`: exit code, standard output, standard error of `netspec report DIR`."""

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["netspec", "report", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        printed = capsys.readouterr()
        return int(stopped.value.code or 0), printed.out, printed.err

    return call


def test_the_command_names_the_page_of_a_bundle(bundles: dict[str, Path], run: Callable[..., Any]) -> None:
    assert run(bundles["dit"]) == (0, f"{bundles['dit'] / 'report.html'}\n", "")


def test_the_command_opens_a_browser(
    bundles: dict[str, Path], run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr("typer.launch", opened.append)
    assert run(bundles["dit"], "--open")[0] == 0
    assert opened == [(bundles["dit"] / "report.html").resolve().as_uri()]


def test_figures_go_beside_the_bundle_and_leave_it_whole(
    bundles: dict[str, Path], run: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = Path(shutil.copytree(bundles["dit"], tmp_path / "net"))
    (tmp_path / "bench.json").write_text(json.dumps(FIGURES))
    monkeypatch.chdir(out)
    path = tmp_path / "net-report.html"
    assert run(".", "--bench", "../bench.json") == (0, "../net-report.html\n", "")
    assert 'id="latency"' in path.read_text(encoding="utf-8")
    verify(out, parity=False)
    assert "NS924" in run(".", "--bench", "../bench.json")[2]
    assert run(".", "--bench", "../bench.json", "--force")[0] == 0
    code, _, told = run(".", "--bench", "../bench.json", "-o", "inside.html")
    assert (code, not (out / "inside.html").exists()) == (2, True), told


def test_a_spec_that_was_not_built(run: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("tiny/unet", "--set", "unet.blocks_per_level=2") == (0, "tiny-unet-report.html\n", "")
    page = parsed_text = (tmp_path / "tiny-unet-report.html").read_text(encoding="utf-8")
    made = Parsed(parsed_text)
    assert "parity" not in made.texts and "targets" not in made.texts
    assert "--set" in made.words("choices") and "netspec build SPEC" in made.words("repeat")
    assert Notes.read(page).lines["head"].startswith("unet.yaml:")
    assert run("tiny/unet", "--bench", "x")[0] == 2


def test_a_report_needs_no_torch(bundles: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "bench.json").write_text(json.dumps(FIGURES))
    lines = [
        "import sys",
        "from netspec.cli import app",
        "for words in (['tiny/unet'], [sys.argv[1], '--bench', 'bench.json', '-o', 'measured.html']):",
        "    app(['report', *words], standalone_mode=False)",
        "print(sorted({'torch', 'onnx', 'onnxruntime', 'numpy'} & sys.modules.keys()))",
    ]
    command = [sys.executable, "-c", "\n".join(lines), str(bundles["dit"])]
    where = {**os.environ, "PYTHONPATH": str(SPECS.parent)}
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, env=where)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == ["tiny-unet-report.html", "measured.html", "[]"]
