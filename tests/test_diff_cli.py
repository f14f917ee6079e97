"""netspec diff: what A and B can be, and what the command prints and exits with."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from netspec import api, cli
from netspec.errors import SpecError

ROOT = Path(__file__).parent.parent
SPECS = ROOT / "specs"
Run = Callable[..., tuple[str, int]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*arguments: str) -> tuple[str, int]:
        monkeypatch.setattr(sys, "argv", ["netspec", "diff", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        printed = capsys.readouterr()
        return printed.out + printed.err, int(stopped.value.code or 0)

    return call


def test_a_bundle_a_weights_file_and_a_graph_are_sides(bundles: dict[str, Path], run: Run) -> None:
    folder = bundles["unet"]
    for side in (folder, folder / "model.safetensors", folder / "model.onnx"):
        printed, code = run("tiny/unet", str(side), "--exit-code")
        assert (printed, code) == (f"tiny/unet and {side} are equal\n", 0)
    printed, code = run(str(folder), "tiny/dit", "--exit-code", "--format", "json")
    assert code == 1
    assert json.loads(printed)["equal"] is False


def _git(folder: Path, *arguments: str) -> None:
    settings = [
        "-c",
        "user.name=n",
        "-c",
        "user.email=e@x",
        "-c",
        "commit.gpgsign=false",
        "-c",
        "init.defaultBranch=main",
    ]
    subprocess.run(["git", "-C", str(folder), *settings, *arguments], check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two specs, one extending the other, committed; then both changed."""
    base = (SPECS / "tiny" / "dit.yaml").read_text()
    (tmp_path / "specs").mkdir()
    (tmp_path / "base.yaml").write_text(base)
    (tmp_path / "specs" / "net.yaml").write_text("netspec: 1\nname: net\nextends: ../base.yaml\ndit: {depth: 3}\n")
    for arguments in (("init",), ("add", "."), ("commit", "-m", "first")):
        _git(tmp_path, *arguments)
    (tmp_path / "base.yaml").write_text(base.replace("mlp_ratio", "# mlp_ratio"))
    (tmp_path / "specs" / "net.yaml").write_text("netspec: 1\nname: net\nextends: ../base.yaml\ndit: {depth: 4}\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_revisions(repository: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    printed, code = run("specs/net.yaml", "--exit-code")
    assert code == 1
    assert printed.startswith("git:HEAD:specs/net.yaml -> specs/net.yaml\n")
    assert "dit.depth" in printed
    for old in ("git:HEAD", "git:main:specs/net.yaml", "git:HEAD:./specs/net.yaml"):
        assert run(old, "specs/net.yaml")[0].partition("\n")[2] == printed.partition("\n")[2]
    assert run("git:HEAD:specs/net.yaml", "git:HEAD:specs/net.yaml", "--exit-code")[1] == 0
    monkeypatch.chdir(repository / "specs")
    assert "dit.depth" in run("net.yaml")[0]
    assert "dit.depth" in run("git:HEAD:../specs/net.yaml", "net.yaml")[0]
    monkeypatch.chdir("/")
    assert "dit.depth" in run(str(repository / "specs" / "net.yaml"))[0]


@pytest.mark.parametrize(("side", "words", "code"), [
    ("git:nope:specs/net.yaml", "git does not know the revision `nope`", 2),
    ("git:mai:specs/net.yaml", "did you mean `main`?", 2),
    ("git:--help:specs/net.yaml", "git does not know the revision `--help`", 2),
    ("git:HEAD:net.yaml", "did you mean `git:HEAD:specs/net.yaml`?", 1),
    ("git:HEAD:specs", "no such file", 1),
    ("git::base.yaml", "git does not know the revision ``", 2),
    ("git:HEAD@{2020-01-01 12:30:00}:nett.yaml", "cannot read `git:HEAD@{2020-01-01 12:30:00}:nett.yaml`", 1),
    ("", "one side is an empty text", 2),
    ("specs/net.yaml@large", "unknown variant `large`", 1),
    ("specs/nett.yaml", "did you mean", 1),
])  # fmt: skip
def test_what_a_side_cannot_be(side: str, words: str, code: int, repository: Path, run: Run) -> None:
    printed, left = run(side, "specs/net.yaml")
    assert words in printed
    assert left == code


def test_without_git(repository: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    printed, code = run("specs/net.yaml")
    assert "there is no git" in printed and code == 2


def test_outside_a_repository(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.yaml").write_text((SPECS / "tiny" / "dit.yaml").read_text())
    printed, code = run("net.yaml")
    assert "is in no git repository" in printed and code == 2


def test_a_file_with_an_at_sign_is_a_file(tmp_path: Path, run: Run) -> None:
    odd = tmp_path / "net@b-2"
    odd.write_text((SPECS / "tiny" / "dit.yaml").read_text())
    assert run("tiny/dit", str(odd), "--exit-code")[1] == 0
    assert run("@a", "@b")[1] == 2


def test_a_file_with_an_at_sign_is_one_in_git_too(repository: Path, run: Run) -> None:
    (repository / "net@b-2.yaml").write_text((SPECS / "tiny" / "dit.yaml").read_text())
    _git(repository, "add", ".")
    _git(repository, "commit", "-m", "odd")
    assert run("git:HEAD:net@b-2.yaml", "net@b-2.yaml", "--exit-code")[1] == 0
    assert "unknown variant `small`" in run("git:HEAD:base.yaml@small", "base.yaml")[0]


def test_every_tensor(run: Run) -> None:
    printed, _ = run("tiny/dit", "--set", "dit.depth=1", "--weights")
    assert "tensors load by name and shape" in printed
    data = json.loads(run("tiny/dit", "--set", "dit.depth=1", "--weights", "--format", "json")[0])
    gone = {node["node"] for node in data["weights"]["gone"]}
    assert {tensor["name"].partition(".")[0] for tensor in data["tensors"]} == gone
    assert all(tensor["new"] is None for tensor in data["tensors"])


def test_a_spec_that_is_not_what_it_expects_is_compared(tmp_path: Path, run: Run) -> None:
    """The help of NS401 sends people here."""
    file = tmp_path / "net.yaml"
    file.write_text((SPECS / "tiny" / "dit.yaml").read_text().replace("depth: 2", "depth: 3"))
    with pytest.raises(SpecError, match="NS401"):
        api.lower(api.load(file))
    printed, code = run("tiny/dit", str(file))
    assert code == 0 and "dit.depth" in printed


def test_no_torch() -> None:
    script = (
        "import sys; sys.argv = ['netspec', 'diff', 'unet/sdxl', '@ssd-1b', '--format', 'html']\n"
        "from netspec import cli\n"
        "try: cli.main()\n"
        "except SystemExit: pass\n"
        "sys.stderr.write(' '.join(sorted({'torch', 'onnx', 'numpy'} & sys.modules.keys())))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
