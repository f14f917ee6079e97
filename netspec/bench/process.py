"""Worker: the parent's end of a backend's process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from netspec.bench.engine import Kernel, Profile

_GRACE = 2.0  # seconds


class WorkerError(Exception):
    """A backend that cannot go on; the text says why, in one line."""


class Worker:
    """One process that loads one backend and runs it when asked. A context manager: leaving it leaves no process.

    `scratch` is for what a backend wants to keep on disk meanwhile. Every method raises WorkerError.
    """

    def __init__(self, threads: int, scratch: Path) -> None:
        self._threads = threads
        self._errors = tempfile.TemporaryFile(dir=scratch)  # noqa: SIM115  # closed with the process
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "netspec.bench.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            encoding="utf-8",
            env=os.environ | _settings(threads, scratch),
            start_new_session=True,  # a group of its own: it dies whole, and ctrl-C reaches the parent alone
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def load(self, engine: str, path: Path, options: Mapping[str, Any]) -> tuple[float, bool]:
        """Load the files; seconds that took, and whether they can be profiled."""
        answer = self._ask(do="load", engine=engine, path=str(path), threads=self._threads, options=dict(options))
        return float(answer["seconds"]), bool(answer["profiles"])

    def prepare(self, inputs: Path) -> float:
        """Give it inputs (an .npz) and run once; seconds that took."""
        return float(self._ask(do="prepare", inputs=str(inputs))["seconds"])

    def run(self, calls: int, warm: int = 0) -> list[float]:
        """Seconds of each of `calls` runs, after `warm` that are not counted."""
        return list(map(float, self._ask(do="run", calls=calls, warm=warm)["seconds"]))

    def memory(self) -> tuple[int, str]:
        """The most bytes that it ever held, and how that was measured."""
        answer = self._ask(do="memory")
        return int(answer["bytes"]), str(answer["how"])

    def profile(self, inputs: Path, runs: int) -> Profile:
        """What `Engine.profile` says."""
        answer = self._ask(do="profile", inputs=str(inputs), runs=runs)
        kernels = [Kernel(each["op"], each["seconds"], tuple(each["names"])) for each in answer["kernels"]]
        return Profile(kernels, answer["seconds"], answer["places"])

    def _ask(self, **request: object) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except OSError:
            line = ""
        if not line:
            raise WorkerError(self._last_words())
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise WorkerError(_first_line(answer["error"]))
        return answer

    def _last_words(self) -> str:
        """Why the process ended by itself."""
        code = self._process.wait()
        if code < 0:
            killed = -code == signal.SIGKILL
            return f"its process ended by {signal.Signals(-code).name}" + (", perhaps out of memory" if killed else "")
        self._errors.seek(0)
        words = self._errors.read().decode("utf-8", "replace").strip().splitlines()
        return f"its process ended with {code}" + (f": {words[-1][:200]}" if words else "")

    def close(self) -> None:
        """End the process and whatever it started."""
        process = self._process
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except OSError:  # it died with a request half written
                    continue
        try:
            process.wait(_GRACE)  # it sees the end of its requests
        except subprocess.TimeoutExpired:
            if hasattr(os, "killpg"):
                os.killpg(process.pid, signal.SIGKILL)
            else:
                process.kill()
            process.wait()
        self._errors.close()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def _settings(threads: int, scratch: Path) -> dict[str, str]:
    """The worker's environment: the parent's modules, this many threads, which sleep while they wait (for the next
    backend, and for a processor that somebody else has), a compiler's cache that is empty at first."""
    return {
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "PYTHONWARNINGS": "ignore",
        "OMP_NUM_THREADS": str(threads),
        "MKL_NUM_THREADS": str(threads),
        "OMP_WAIT_POLICY": "passive",
        "TORCHINDUCTOR_CACHE_DIR": str(scratch / "compiled"),
        "TORCHINDUCTOR_COMPILE_THREADS": "1",
    }


def _first_line(text: str) -> str:
    """A message without what runtimes add below it."""
    return next((line.strip() for line in text.splitlines() if line.strip()), "it does not say why")[:300]
