"""Turns of several backends in random order, so that whatever else the machine does meets all of them alike."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from netspec.bench.process import Worker, WorkerError

TURN = 0.1  # seconds that a quick network runs for in one turn; a slow one runs once
CALLS = 20  # at most, in one turn
SETTLE = 0.01  # seconds: threads that still look for work after a run go to sleep (measured: within 8 ms)
WARM_UP = 0.3  # seconds, at least, before the first turn
FEWEST = 3  # rounds, however little time there is


@dataclass(frozen=True)
class Contender:
    """A backend with what it loads: the `module:Class` of its engine, a path, options of the engine's."""

    name: str
    engine: str
    path: Path
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class Runner:
    """A contender in its process. `load` and `first` are seconds: to load it, and until its first result after that."""

    worker: Worker
    load: float
    profiles: bool = False  # whether it can say where its time goes
    first: float = 0.0
    typical: float = 0.0  # seconds of a warm run, about

    @classmethod
    def start(cls, contender: Contender, worker: Worker) -> Runner:
        """Load a contender into a fresh process."""
        return cls(worker, *worker.load(contender.engine, contender.path, contender.options))

    def warm_up(self, inputs: Path) -> None:
        """Get ready to run on these inputs."""
        self.first = self.worker.prepare(inputs)
        seconds: list[float] = []
        while sum(seconds) < WARM_UP and len(seconds) < CALLS:
            seconds += self.worker.run(1)
        self.typical = median(seconds)

    def turn(self) -> list[float]:
        """Seconds of each run of one turn."""
        calls = min(CALLS, max(1, round(TURN / self.typical)))
        return self.worker.run(calls, warm=1 if calls > 1 else 0)  # caches are as another backend left them


def race(
    runners: Mapping[str, Runner],
    *,
    rounds: int | None = None,
    seconds: float | None = None,
    progress: Callable[[str], None] = lambda text: None,
) -> tuple[dict[str, list[list[float]]], dict[str, str]]:
    """Seconds of every run, by backend and by round; and who dropped out on the way, why.

    Ends after `rounds` or `seconds`, whichever comes first, one of which has to be given.
    """
    assert rounds is not None or seconds is not None
    turns: dict[str, list[list[float]]] = {name: [] for name in runners}
    failed: dict[str, str] = {}
    order, shuffle, started = list(runners), random.Random(0), time.monotonic()
    done = 0
    while order:
        shuffle.shuffle(order)
        for name in tuple(order):
            time.sleep(SETTLE)
            try:
                turns[name].append(runners[name].turn())
            except WorkerError as error:
                order.remove(name)
                failed[name] = str(error)
        done += 1
        progress(f"round {done}")
        spent = time.monotonic() - started
        if done == rounds or (seconds is not None and spent > seconds and done >= FEWEST):
            break
    return {name: turns[name] for name in runners if name not in failed}, failed
