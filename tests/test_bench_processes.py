"""The processes that backends run in: what they say, what they hold, and that none outlives its parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import psutil
import pytest

from netspec import target
from netspec.bench import engine
from netspec.bench.process import Worker, WorkerError

ROOT = Path(__file__).parent.parent

ENGINE = """
import subprocess, sys, time
from netspec.bench.engine import Engine

class Slow(Engine):
    "Loads for ever, with a child that never ends."
    def __init__(self, path, threads):
        self.child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        print("a library's own words")
        time.sleep(600)
    def prepare(self, inputs):
        return lambda: None

class Quick(Engine):
    def __init__(self, path, threads):
        print("a library's own words")
    def prepare(self, inputs):
        assert inputs["x"].shape == (2, 3), "no such shape"
        return lambda: None
"""
PARENT = """
import signal, sys
from pathlib import Path
from netspec.bench.process import Worker
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs begin with it ignored
with Worker(1, Path(sys.argv[1])) as worker:
    print(worker.pid, flush=True)
    worker.load("engines:Slow", Path("."), {})
"""


@pytest.fixture
def engines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a module of engines, on the path of processes to come."""
    (tmp_path / "engines.py").write_text(ENGINE, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


@pytest.mark.skipif(os.name == "nt", reason="signals are POSIX's")
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGKILL])
def test_no_process_outlives_its_parent(engines: Path, sent: signal.Signals) -> None:
    command = [sys.executable, "-c", PARENT, str(engines)]
    path = os.pathsep.join((str(engines), str(ROOT)))
    parent = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env={**os.environ, "PYTHONPATH": path}
    )
    assert parent.stdout is not None
    try:
        worker = psutil.Process(int(parent.stdout.readline()))
        family = [worker, *wait_for(lambda: worker.children(recursive=True))]
        assert len(family) == 2
        parent.send_signal(sent)
        parent.wait(30)
        _, alive = psutil.wait_procs(family, timeout=10)
        assert [each for each in alive if each.status() != psutil.STATUS_ZOMBIE] == []
    finally:
        parent.kill()
        parent.wait()
        parent.stdout.close()


def wait_for(ready: object) -> Sequence[psutil.Process]:
    """What `ready` returns once that is something."""
    for _ in range(600):
        if found := ready():  # type: ignore[operator]
            return found  # type: ignore[no-any-return]
        time.sleep(0.05)
    raise AssertionError("it never came")


@pytest.fixture
def worker(engines: Path) -> Iterator[Worker]:
    with Worker(1, engines) as process:
        yield process


def test_a_worker_says_why_it_cannot(worker: Worker, engines: Path) -> None:
    with pytest.raises(WorkerError, match="No module named 'nowhere'"):
        worker.load("nowhere:Engine", engines, {})
    seconds, profiles = worker.load("engines:Quick", engines, {})
    assert seconds >= 0 and not profiles, "what the engine prints is no answer"
    np.savez(engines / "wrong.npz", x=np.zeros((1, 3), np.float32))
    with pytest.raises(WorkerError, match="AssertionError: no such shape"):
        worker.prepare(engines / "wrong.npz")
    np.savez(engines / "right.npz", x=np.zeros((2, 3), np.float32))
    worker.prepare(engines / "right.npz")
    assert len(worker.run(4, warm=1)) == 4
    with pytest.raises(WorkerError, match="Quick has no profile"):
        worker.profile(engines / "right.npz", 1)
    os.kill(worker.pid, signal.SIGKILL)
    with pytest.raises(WorkerError, match="SIGKILL, perhaps out of memory"):
        worker.run(1)


def test_every_exporter_names_an_engine_that_is_one() -> None:
    for name in target.names():
        cls = target.find(name)
        if cls.missing() or not cls.engine:
            continue
        assert issubclass(engine.named(cls.engine), engine.Engine), name
    assert target.find("onnx").engine


@pytest.mark.parametrize(("runtime", "module"), [("onnxruntime", "exporters.onnx"), ("openvino", "exporters.openvino")])
def test_the_process_of_a_runtime_holds_no_torch(runtime: str, module: str) -> None:
    if find_spec(runtime) is None:
        pytest.skip(f"{runtime} is an extra")
    script = f"import sys, {module}.engine, netspec.bench.worker; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
