"""The process of one backend: reads requests, one JSON object a line, and answers each with one.

    {"do": "load", "engine": "module:Class", "path": …, "threads": n, "options": {…}}
                                                              {"seconds": …, "profiles": whether it can profile}
    {"do": "prepare", "inputs": "FILE.npz"}         the first run, too                    {"seconds": …}
    {"do": "run", "calls": n, "warm": n}            the last n calls are timed            {"seconds": [… of each call]}
    {"do": "memory"}                                                                      {"bytes": …, "how": "…"}
    {"do": "profile", "inputs": …, "runs": n}       the fields of Profile

What fails is answered with {"error": "…"}. Where the parent is gone, so is this process, and whatever it started.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np

from netspec.bench.engine import Engine, named


def main() -> None:
    """Answer until the requests end."""
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print is no answer
    requests: SimpleQueue[str] = SimpleQueue()
    threading.Thread(target=_listen, args=(requests,), daemon=True).start()
    bench = _Bench()
    while True:
        request = json.loads(requests.get())
        try:
            answer = getattr(bench, request.pop("do"))(**request)
        except Exception as error:  # a runtime's own, of any kind: the parent says why this backend is out
            answer = {"error": f"{type(error).__name__}: {error}"}
        replies.write(json.dumps(answer) + "\n")
        replies.flush()


def _listen(requests: SimpleQueue[str]) -> None:
    """A thread of its own, so that the end of the requests is seen in the middle of a run as well."""
    for line in sys.stdin:
        requests.put(line)
    if hasattr(os, "killpg") and os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(0)


class _Bench:
    """The requests as methods."""

    def load(self, engine: str, path: str, threads: int, options: Mapping[str, Any]) -> dict[str, object]:
        cls = named(engine)  # imports are no part of loading a network
        started = time.perf_counter()
        self._engine: Engine = cls(Path(path), threads, **options)
        return {"seconds": time.perf_counter() - started, "profiles": cls.profile is not Engine.profile}

    def prepare(self, inputs: str) -> dict[str, object]:
        arrays = _read(inputs)
        started = time.perf_counter()
        self._run: Callable[[], object] = self._engine.prepare(arrays)
        self._run()
        return {"seconds": time.perf_counter() - started}

    def run(self, calls: int, warm: int) -> dict[str, object]:
        for _ in range(warm):
            self._run()
        seconds = []
        for _ in range(calls):
            started = time.perf_counter()
            self._run()
            seconds.append(time.perf_counter() - started)
        return {"seconds": seconds}

    def memory(self) -> dict[str, object]:
        """The most that this process ever held, mapped files included."""
        try:
            lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
            peak = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
            return {"bytes": peak, "how": "VmHWM of the backend's process"}
        except (OSError, StopIteration, ValueError):
            pass
        try:
            import resource
        except ImportError:
            return {"bytes": 0, "how": ""}
        unit = 1 if sys.platform == "darwin" else 1024
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
        return {"bytes": peak, "how": "ru_maxrss of the backend's process"}

    def profile(self, inputs: str, runs: int) -> dict[str, object]:
        return asdict(self._engine.profile(_read(inputs), runs))


def _read(inputs: str) -> dict[str, np.ndarray]:
    with np.load(inputs) as file:
        return dict(file)


if __name__ == "__main__":
    main()
