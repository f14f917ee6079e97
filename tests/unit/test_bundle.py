"""A bundle is whole or not there: refusals, locks, recovery, and SIGKILL at every line of the code that writes it."""

from __future__ import annotations

import errno
import json
import math
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from netspec import bundle
from netspec.bundle import Manifest, ParityRow, Port, atomic, file_entries, open_bundle
from netspec.bundle.manifest import _finite
from netspec.errors import InvariantError, NetspecError, UsageError, WeightsError


def manifest(folder: Path, name: str = "net") -> Manifest:
    return Manifest(
        name=name,
        spec_sha256="0" * 64,
        params=7,
        inputs=(Port("x", "float32", ("N", 3, "H", "W")), Port("timestep", "float32", ("N",))),
        outputs=(Port("y", "float32", ("N", 3, "H", "W")),),
        files=file_entries(folder),
        parity=(ParityRow({"W": 8, "H": 8}, 0.5, "float32", 1e-6, math.inf, 1e-4, True),),
        tools={"torch": "2.13.0", "onnx": "1.23.2"},
        version="0.1.0",
    )


def build(destination: Path, content: str, force: bool = False) -> None:
    with open_bundle(destination, force=force) as folder:
        (folder / "model.onnx").write_text(content)
        (folder / "deploy").mkdir()
        (folder / "deploy" / "build.sh").write_text(f"build {content}")
        manifest(folder, content).write(folder)


def whole(destination: Path) -> str:
    """The name of the bundle at `destination`, which must be whole."""
    found = Manifest.read(destination)
    assert found.check_files(destination) == []
    assert (destination / "model.onnx").read_text() == found.name
    return found.name


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def refusal(destination: Path | str, kind: type[NetspecError] = UsageError, force: bool = False) -> str:
    with pytest.raises(kind) as caught, open_bundle(destination, force=force):
        pytest.fail("the destination was accepted")
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.help
    return f"[{diagnostic.code}] {diagnostic.message}"


# --- manifest --------------------------------------------------------------------------------------------------------


def test_manifest_round_trip(tmp_path: Path) -> None:
    build(tmp_path / "out", "one")
    text = (tmp_path / "out" / "manifest.json").read_text()
    read = Manifest.read(tmp_path / "out")
    assert read.text() == text
    keys = ["netspec", "name", "spec_sha256", "params", "inputs", "outputs", "files", "targets"]
    keys += ["parity", "tools", "recipe"]
    assert list(json.loads(text)) == keys
    assert list(json.loads(text)["files"]) == ["deploy/build.sh", "model.onnx"]
    assert list(json.loads(text)["parity"][0]["sizes"]) == ["H", "W"]
    assert (json.loads(text)["parity"][0]["max_rel"], read.parity[0].max_rel) == (None, math.inf)
    assert _finite({"sizes": {}, "max_abs": math.nan})["max_abs"] is None


def test_manifest_is_reproducible(tmp_path: Path) -> None:
    build(tmp_path / "a", "one")
    build(tmp_path / "b", "one")
    assert (tmp_path / "a" / "manifest.json").read_bytes() == (tmp_path / "b" / "manifest.json").read_bytes()


def test_supplied_hashes_spare_reading(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"123")
    entries = file_entries(tmp_path, {"model.safetensors": "f" * 64})
    assert (entries["model.safetensors"].bytes, entries["model.safetensors"].sha256) == (3, "f" * 64)


def test_check_files_names_every_difference(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with open_bundle(out) as folder:
        for name in ("changed", "truncated", "grown", "missing", "linked", "same"):
            (folder / name).write_bytes(b"0123456789")
        manifest(folder).write(folder)
    (out / "changed").write_bytes(b"0123456788")
    (out / "truncated").write_bytes(b"012345678")
    (out / "grown").write_bytes(b"0123456789a")
    (out / "missing").unlink()
    (out / "linked").unlink()
    (out / "linked").symlink_to("same")
    (out / "sub").mkdir()
    (out / "sub" / "new").touch()
    found = [(d.code, d.message.split(":")[0]) for d in Manifest.read(out).check_files(out)]
    assert found == [
        ("NS611", "changed has changed"),
        ("NS611", "grown has grown"),
        ("NS611", "linked is a link, not a file"),
        ("NS612", "missing is missing"),
        ("NS613", "sub/new is not part of the bundle"),
        ("NS611", "truncated is truncated"),
    ]


@pytest.mark.parametrize(
    "change",
    [
        '"format": 2|"format": 3',
        '"params": 7|"params": 1e999',
        '"params"|"parameters"',
        '"files": {|"files": [], "f": {',
        "model.onnx|../../etc/passwd",
        "model.onnx|/etc/passwd",
        "model.onnx|C:\\\\boot.ini",
        "model.onnx|a//b",
        '"sha256": "|"sha256": "g',
        "{|[",
        '"name": "one"|"name": "one", "name": "two"',
    ],
)
def test_hostile_manifest(tmp_path: Path, change: str) -> None:
    build(tmp_path / "out", "one")
    path = tmp_path / "out" / "manifest.json"
    old, new = change.split("|")
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(WeightsError, match="NS614"):
        Manifest.read(tmp_path / "out")
    assert "NS615" in refusal(tmp_path / "out")


def test_no_manifest(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(WeightsError, match="NS614"):
            Manifest.read(folder)


# --- replacing -------------------------------------------------------------------------------------------------------


@pytest.fixture(params=["exchange", "fallback"])
def swap(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "fallback":
        monkeypatch.setattr(atomic, "_exchange", lambda *_: False)


@pytest.mark.usefixtures("swap")
def test_build_and_rebuild(tmp_path: Path) -> None:
    for content in ("one", "two", "three"):
        build(tmp_path / "deep" / "out", content)
        assert whole(tmp_path / "deep" / "out") == content
        assert names(tmp_path / "deep") == ["out"]


def test_empty_folder_is_welcome(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    build(tmp_path / "out", "one")
    assert whole(tmp_path / "out") == "one"


@pytest.mark.usefixtures("swap")
@pytest.mark.parametrize("error", [KeyError, KeyboardInterrupt, SystemExit])
def test_failure_changes_nothing(tmp_path: Path, error: type[BaseException]) -> None:
    build(tmp_path / "out", "one")
    with pytest.raises(error), open_bundle(tmp_path / "out") as folder:  # noqa: PT012
        (folder / "model.onnx").write_text("two")
        raise error
    assert whole(tmp_path / "out") == "one"
    assert names(tmp_path) == ["out"]


def test_failing_second_rename_puts_the_old_one_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build(tmp_path / "out", "one")
    monkeypatch.setattr(atomic, "_exchange", lambda *_: False)
    rename, calls = os.rename, []

    def failing(old: Path, new: Path) -> None:
        calls.append(new)
        if len(calls) == 2:
            raise OSError(errno.EIO, "Input/output error")
        rename(old, new)

    monkeypatch.setattr(os, "rename", failing)
    with pytest.raises(WeightsError, match="NS617"):
        build(tmp_path / "out", "two")
    assert whole(tmp_path / "out") == "one"
    assert names(tmp_path) == ["out"]


def test_a_bundle_needs_a_fitting_manifest(tmp_path: Path) -> None:
    with pytest.raises(InvariantError, match="without a sound"), open_bundle(tmp_path / "out") as folder:
        (folder / "model.onnx").touch()
    with pytest.raises(InvariantError, match="late"), open_bundle(tmp_path / "out") as folder:  # noqa: PT012
        manifest(folder).write(folder)
        (folder / "late").touch()
    assert names(tmp_path) == []


def test_link_is_kept(tmp_path: Path) -> None:
    build(tmp_path / "real" / "out", "one")
    (tmp_path / "link").symlink_to("real/out")
    build(tmp_path / "link", "two")
    assert (tmp_path / "link").is_symlink()
    assert whole(tmp_path / "real" / "out") == "two"
    assert names(tmp_path / "real") == ["out"]
    assert names(tmp_path) == ["link", "real"]


# --- refusing --------------------------------------------------------------------------------------------------------


def test_refusals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").touch()
    (tmp_path / "folders" / "only").mkdir(parents=True)
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "here" / "below").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here" / "below")
    before = sorted(tmp_path.rglob("*"))
    for force in (False, True):
        assert "it is a file" in refusal(tmp_path / "file", force=force)
        assert "not a netspec bundle" in refusal(tmp_path / "photos", force=force)
        assert "not a netspec bundle" in refusal(tmp_path / "folders", force=force)
        assert "the current folder" in refusal(".", force=force)
        assert "contains the current one" in refusal("..", force=force)
        assert "contains the current one" in refusal("/", force=force)
        assert "NS61" in refusal(tmp_path / "loop", NetspecError, force=force)
        assert "mount point" in refusal("/proc", force=force)
        assert "cannot be resolved" in refusal("a\0b", force=force)
    assert "NS617" in refusal(tmp_path / "file" / "out", WeightsError)
    assert "NS617" in refusal("/proc/nowhere/out", WeightsError)
    assert "NS617" in refusal(tmp_path / ("n" * 250), WeightsError)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_read_only_parent(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    assert "NS617" in refusal(tmp_path / "out", WeightsError)


@pytest.mark.usefixtures("swap")
def test_the_users_files_survive(tmp_path: Path) -> None:
    build(tmp_path / "out", "one")
    (tmp_path / "out" / "deploy" / "engine.plan").write_text("an hour of work")
    assert "deploy/engine.plan" in refusal(tmp_path / "out")
    for n in (1, 2):
        build(tmp_path / "out", "two", force=True)
        assert whole(tmp_path / "out") == "two"
        kept = tmp_path / f"out.kept-{n}"
        assert [p.relative_to(kept).as_posix() for p in kept.rglob("*") if p.is_file()] == ["deploy/engine.plan"]
        (tmp_path / "out" / "deploy" / "engine.plan").write_text("another hour")
    assert names(tmp_path) == ["out", "out.kept-1", "out.kept-2"]


def test_only_errors_of_the_bundle_are_translated(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"NS617.*the disk is full"), open_bundle(tmp_path / "out"):
        raise OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(WeightsError, match="NS617"), open_bundle(tmp_path / "out") as folder:
        (folder / "no" / "such").write_text("")
    with pytest.raises(FileNotFoundError), open_bundle(tmp_path / "out"):
        (tmp_path / "elsewhere").read_text()
    assert names(tmp_path) == []


def test_lock(tmp_path: Path) -> None:
    with pytest.raises(KeyError), open_bundle(tmp_path / "out"):  # noqa: PT012
        message = refusal(tmp_path / "out", WeightsError)
        assert f"[NS616] {tmp_path / 'out'} is being written by process {os.getpid()} on " in message
        build(tmp_path / "other", "one")  # another destination is free
        raise KeyError
    assert names(tmp_path) == ["other"]


# --- dying -----------------------------------------------------------------------------------------------------------

# Forks one child per line that a rebuild executes in netspec and shutil, kills it there, looks, and rebuilds.
KILLER = """
    import os, shutil, signal, sys
    from pathlib import Path
    sys.path[:0] = [{tests!r}, {root!r}]
    import test_bundle as t
    from netspec.bundle import atomic

    parent, stride, first, allowed = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4].split(",")
    out = parent / "out"
    os.fsync = lambda _: None  # a killed process loses no written byte; only a power cut does
    if "none" in allowed:
        atomic._exchange = lambda *_: False

    def run(victim):
        "Rebuild; die before line number `victim`; return how many lines there were."
        count = 0
        def line(frame, event, _):
            nonlocal count
            file = frame.f_code.co_filename
            if "/netspec/" not in file and not file.endswith("shutil.py"):
                return None
            if event == "line":
                count += 1
                if count == victim:
                    os.kill(os.getpid(), signal.SIGKILL)
            return line
        sys.settrace(line)
        t.build(out, "new")
        sys.settrace(None)
        return count

    def reset():
        shutil.rmtree(parent)
        parent.mkdir()
        if first != "none":
            t.build(out, "old")

    reset()
    total, seen = run(-1), []
    for victim in range(1, total + 1, stride):
        reset()
        if (child := os.fork()) == 0:
            run(victim)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        assert os.WTERMSIG(status) == signal.SIGKILL, victim
        state = t.whole(out) if out.exists() else "none"
        assert state in allowed, (victim, state)
        seen.append(state)
        # The next run, once failing (the old state must come back) and once to the end.
        try:
            with t.open_bundle(out):
                raise KeyError
        except KeyError:
            pass
        again = t.whole(out) if out.exists() else "none"
        assert again == (state if state != "none" else first), (victim, state, again)
        t.build(out, "next")
        assert t.whole(out) == "next", victim
        assert t.names(parent) == ["out"], (victim, t.names(parent))
    print(total, len(seen), *sorted(set(seen)))
"""


@pytest.mark.parametrize(
    ("first", "allowed"),
    [("old", "old,new"), ("none", "none,new"), ("old", "old,none,new")],
    ids=["swap", "new", "fallback"],
)
def test_sigkill_at_every_moment(tmp_path: Path, first: str, allowed: str) -> None:
    script = textwrap.dedent(KILLER).format(
        tests=str(Path(__file__).parent), root=str(Path(bundle.__file__).parents[2])
    )
    stride = os.environ.get("NETSPEC_KILL_STRIDE", "7")  # 1 is every line, and a minute
    (tmp_path / "area").mkdir()
    command = [sys.executable, "-c", script, str(tmp_path / "area"), stride, first, allowed]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    total, killed, *seen = done.stdout.split()
    assert int(total) > 100
    assert int(killed) == -(-int(total) // int(stride))
    # The fallback's moment without a bundle is one line long, which a stride may step over.
    assert {first, "new"} <= set(seen) <= set(allowed.split(","))


def test_half_removed_leftovers_are_not_put_back(tmp_path: Path) -> None:
    build(tmp_path / "out", "one")
    aside = tmp_path / ".out.netspec-1-0123abcd.old"
    aside.mkdir()
    (aside / "half").touch()
    build(tmp_path / "out", "two")
    assert (whole(tmp_path / "out"), names(tmp_path)) == ("two", ["out"])
    (tmp_path / ".outer.netspec-1-0123abcd").mkdir()  # another destination's
    build(tmp_path / "out", "three")
    assert names(tmp_path) == [".outer.netspec-1-0123abcd", "out"]
