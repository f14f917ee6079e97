"""The commands as a shell sees them: what they print, their exit codes, and that the quick ones stay quick."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from netspec import api, cli, conventions, shipped
from netspec.analysis import tables

ROOT = Path(__file__).parent.parent.parent
UNET = "specs/tiny/unet.yaml"
DIT = "specs/dit/dit_xl_2.yaml"
BAD = "tests/invalid/01_typo.yaml"

Outcome = tuple[int, str, str]
Run = Callable[..., Outcome]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """`run("check", "a.yaml")`: exit code, standard output, standard error; in this process, in the repository."""
    monkeypatch.chdir(ROOT)

    def call(*arguments: str) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["netspec", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        printed = capsys.readouterr()
        return int(stopped.value.code or 0), printed.out, printed.err

    return call


def shell(command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A command line in a process of its own; `netspec` stands for this interpreter's."""
    netspec = f"{sys.executable} -c 'from netspec.cli import main; main()'"
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", command.replace("netspec ", f"{netspec} ", 1)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
    )


def test_check_says_so_when_nothing_is_wrong(run: Run) -> None:
    assert run("check", UNET, DIT) == (0, f"{UNET}, {DIT}: no findings\n", "")


def test_check_reports_every_file(run: Run) -> None:
    code, out, err = run("check", UNET, BAD, "tests/invalid/04_size.yaml")
    assert (code, err) == (1, "")
    assert out.count("error[NS101]") == 2
    assert out.count("error[NS301]") == 1
    assert out.endswith(f"{BAD}: 2 errors\ntests/invalid/04_size.yaml: 1 error\n")


def test_check_of_a_clean_file_in_machine_formats(run: Run) -> None:
    assert run("check", UNET, "--format", "concise") == (0, "", "")
    assert run("check", UNET, "--format", "github") == (0, "", "")
    assert json.loads(run("check", UNET, "--format", "json")[1]) == {"diagnostics": []}
    assert json.loads(run("check", UNET, "--format", "sarif")[1])["runs"][0]["results"] == []


def test_check_takes_settings(run: Run) -> None:
    assert run("check", UNET, "--set", "unet.blocks_per_level=2", "--set", "name=x")[0] == 0
    assert "--set:1:6" in run("check", UNET, "--set", "name=a b")[1]


def test_show_prints_stages_and_totals(run: Run) -> None:
    code, out, _ = run("show", UNET)
    assert code == 0
    assert out.startswith("tiny-unet  (unet, convention ldm)\n")
    (total,) = (line for line in out.splitlines() if line.startswith("total"))
    assert "368,212" in total
    assert "GMACs" in total


def stages(out: str) -> dict[str, str]:
    """The words of each line, by the first."""
    return {line.split()[0]: " ".join(line.split()[1:]) for line in out.splitlines() if line.strip()}


def test_show_names_the_stages_of_a_transformer(run: Run) -> None:
    rows = stages(run("show", "specs/tiny/mmdit.yaml")[1])
    assert rows["image"].startswith("48 tokens x 32 ")
    assert rows["image"].endswith("patchify + sincos")
    assert rows["embed"].startswith("32 ")
    assert rows["context"].startswith("55 tokens x 32 ")  # those of the image, then those of the text
    rows = stages(run("show", "specs/tiny/parallel_dit.yaml")[1])
    assert rows["context"].startswith("30 tokens x 32 ")  # not the table of angles, which is made last
    assert stages(run("show", "specs/tiny/cross_dit.yaml")[1])["modulation"].startswith("288 ")
    rows = stages(run("show", "dit/dit_xl_2.yaml", "--variant", "in-context")[1])
    assert rows["context"] == "258 tokens x 1152 0 0.00 sequence + append_tokens"


@pytest.mark.parametrize("name", shipped.names())
def test_show_fits_a_terminal(name: str) -> None:
    """Of 80 columns, but for names of many blocks at the end of a row."""
    lines = tables.text(api.summary(api.load(name))).splitlines()
    assert max(len(line) for line in lines if " + " not in line and set(line) != {"-"}) <= 80


def test_show_as_json(run: Run) -> None:
    data = json.loads(run("show", DIT, "--format", "json")[1])
    assert {"name", "params", "frozen", "gflops", "gmacs", "nodes"} <= data.keys()
    assert (data["name"], data["params"], data["frozen"]) == ("dit-xl-2", 674834720, 294912)
    assert data["gflops"] == pytest.approx(2 * data["gmacs"])
    # Peebles & Xie 2023, Table 4, count multiply-adds of one image: 118.6; four digits are printed there
    assert data["gmacs"] / 8 == pytest.approx(118.64, abs=0.05)


def test_show_nodes(run: Run) -> None:
    out = run("show", UNET, "--nodes")[1]
    assert "\nmid_block_0 = " in out


def test_resolve_writes_a_spec_that_resolves_to_itself(run: Run, tmp_path: Path) -> None:
    code, out, _ = run("resolve", DIT, "--variant", "b-2")
    assert code == 0
    path = tmp_path / "b-2.yaml"
    path.write_text(out)
    assert api.load(path) == api.load(ROOT / DIT, variant="b-2")
    assert run("resolve", str(path))[1] == out


def test_resolve_tells_where_values_come_from(run: Run) -> None:
    out = run("resolve", DIT, "--variant", "b-2", "--set", "dit.depth=3", "--origin")[1]
    origin = {left.strip(): right.strip() for left, _, right in (line.partition("  # ") for line in out.splitlines())}
    assert origin["dit.hidden_size: 768"] == f"--variant b-2   ({DIT}:32)"
    assert origin["dit.mlp_ratio: 4.0"] == f"{DIT}:24"
    assert origin["dit.qk_norm: none"] == "default"
    assert origin["dit.depth: 3"] == "--set"
    fixed = run("resolve", DIT, "--set", "targets.edge={exporter: onnx, dims: {batch: 1}}", "--origin")[1]
    assert [line.rpartition("#")[2].strip() for line in fixed.splitlines() if "edge.dims" in line] == ["--set"] * 3
    assert origin["conditioning.t.init_std: 0.02"] == "convention dit"


def test_list_names_components_and_their_settings(run: Run) -> None:
    out = run("list")[1]
    kinds = dict(line.split(maxsplit=1) for line in out.splitlines() if not line.startswith(" "))
    assert kinds["norm"] == "batch, group, instance, layer, none, rms"
    assert kinds["convention"] == ", ".join(conventions.names())
    assert kinds["spec"].startswith("autoencoder/kl_f16, ")
    assert "wiring" not in kinds
    assert max(map(len, out.splitlines())) <= 80
    assert run("list", "spec")[1].split() == shipped.names()
    assert "ddpm\n    embed.sinusoidal: {order: sin_cos, freq_shift: 1}\n" in run("list", "convention")[1]
    assert "    head: the end of each half (on, with its defaults)\n" in run("list", "family")[1]
    assert "    example: {type: group, groups: 8, eps: 1e-6}\n" in run("list", "norm")[1]
    assert "    groups: groups that the channels are split into (default 32)\n" in run("list", "norm")[1]
    code, _, err = run("list", "norms")
    assert code == 2
    assert "error[NS922]: no kind is called `norms`" in err


def test_explain(run: Run) -> None:
    assert run("explain", "ns302")[1] == (ROOT / "netspec" / "explanations" / "NS302.md").read_text()
    assert "NS302: channels do not split into heads\n" in run("explain")[1]
    code, _, err = run("explain", "NS999")
    assert code == 2
    assert "error[NS925]" in err


def test_schema_is_the_committed_one(run: Run) -> None:
    assert run("schema")[1] == (ROOT / "netspec" / "netspec.schema.json").read_text(encoding="utf-8")


@pytest.mark.parametrize("family", ["unet", "dit", "autoencoder"])
def test_new_writes_a_spec_that_is_sound(
    family: str, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, _ = run("new", "mine", "--family", family)
    assert code == 0
    assert out.startswith("wrote mine.yaml, and netspec.schema.json for editors\n")
    assert run("check", "mine.yaml")[0] == 0
    before = Path("mine.yaml").read_text()
    code, _, err = run("new", "mine")
    assert code == 2
    assert "error[NS924]: mine.yaml exists already" in err
    assert Path("mine.yaml").read_text() == before
    assert "error[NS923]" in run("new", "../mine")[2]
    Path("mine.yaml").write_text("mine")
    assert run("new", "mine", "--force")[0] == 0
    assert Path("mine.yaml").read_text() != "mine"
    Path("folder.yaml").mkdir()
    assert "error[NS617]: cannot write folder.yaml" in run("new", "folder")[2]
    assert sorted(each.name for each in tmp_path.iterdir()) == ["folder.yaml", "mine.yaml", "netspec.schema.json"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("check",),
        ("frobnicate",),
        ("check", UNET, "--format", "xml"),
        ("show",),
        ("show", UNET, "--colour"),
        ("check", UNET, "--set", "unet.blocks_per_level"),
        ("new", "x", "--family", "gan"),
    ],
)
def test_bad_usage_exits_2(arguments: tuple[str, ...], run: Run) -> None:
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert err
    assert "Traceback" not in err


def test_errors_of_other_commands_go_to_standard_error(run: Run) -> None:
    code, out, err = run("show", BAD)
    assert (code, out) == (1, "")
    assert err.count("error[NS101]") == 2


def test_version(run: Run) -> None:
    assert run("--version")[1].startswith("netspec 0.")


def test_a_bug_of_ours_says_so(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr(api, "check", fail)
    code, out, err = run("check", UNET)
    assert (code, out) == (70, "")
    assert err.startswith("netspec: internal error: ZeroDivisionError: by zero\n")
    assert "Traceback" not in err


QUICK = [f"check {UNET}", f"show {UNET}", f"resolve --origin {UNET}", "list norm", "explain NS302", "schema"]


@pytest.mark.parametrize("command", [*QUICK, "new quick"], ids=lambda command: command.split()[0])
def test_quick_commands_do_not_import_torch(command: str, tmp_path: Path) -> None:
    script = (
        "import sys, atexit, netspec.cli\n"
        "heavy = {'torch', 'numpy', 'onnx'}\n"
        "atexit.register(lambda: print('IMPORTED', *heavy & sys.modules.keys(), file=sys.stderr))\n"
        f"sys.argv = ['netspec', *{command.split()!r}]\n"
        "netspec.cli.main()\n"
    )
    (tmp_path / "specs").symlink_to(ROOT / "specs")
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0
    assert done.stderr == "IMPORTED\n"


def test_tables_of_a_terminal_that_knows_only_ascii() -> None:
    script = (
        "import sys, rich.console, netspec.cli as cli\n"
        "cli.app = lambda: rich.console.Console(file=sys.stdout).print('max |Δ|')\n"
        "cli.main()\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "ascii"}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, env=environment)
    assert (done.returncode, done.stdout, done.stderr) == (0, "max |?|\n", "")


@pytest.mark.parametrize("command", [*QUICK, "explain NS103", "list block", "check tests/invalid/62_name_newline.yaml"])
def test_a_terminal_that_knows_only_ascii_is_no_reason_to_fail(command: str) -> None:
    done = shell(f"netspec {command}", PYTHONIOENCODING="ascii")
    assert done.returncode == ("invalid" in command)
    assert done.stderr == ""
    assert done.stdout


def test_a_reader_that_leaves_is_no_reason_to_complain() -> None:
    done = shell("netspec schema | head -1")
    assert done.stdout == "{\n"
    assert done.stderr == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux alone has a device that is always full")
def test_a_full_disk_is_no_bug_of_ours() -> None:
    done = shell("netspec show tiny/unet > /dev/full")
    assert (done.returncode, done.stderr) == (1, "netspec: cannot write what was asked for: the disk is full\n")


def test_no_color_without_a_terminal_or_with_no_color() -> None:
    assert "\x1b" not in shell(f"netspec check {BAD}").stdout
    command = f"netspec check {BAD}"
    script = "import pty, sys; sys.exit(pty.spawn(['bash', '-c', sys.argv[1]]) >> 8)\n"
    inner = f'{sys.executable} -c "from netspec.cli import main; main()" {command.removeprefix("netspec ")}'
    for no_color, colored in ((None, True), ("1", False)):
        environment = {key: value for key, value in os.environ.items() if key != "NO_COLOR"}
        environment |= {"PYTHONPATH": str(ROOT), "TERM": "xterm"} | ({"NO_COLOR": no_color} if no_color else {})
        done = subprocess.run(
            [sys.executable, "-c", script, inner],
            cwd=ROOT,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=60,
            env=environment,
        )
        assert (b"\x1b[1;31merror[NS101]" in done.stdout) is colored
        assert done.returncode == 1
