"""run(): every point of a grid, in order, in one process or several."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator

from netspec import registry
from netspec.analysis.roofline import Roof
from netspec.sweep.costing import Point, Refused, cost
from netspec.sweep.grid import Grid

Progress = Callable[[int], None]
_FEW = 400  # points that are costed before another process has started
_CHUNK = 50  # points that a process takes at a time


def run(grid: Grid, roof: Roof, *, processes: int = 1, progress: Progress = lambda done: None) -> list[Point | Refused]:
    """The figures of every point, in the grid's order. `progress` is told how many are done.

    More than one of `processes` starts Python anew: a script that calls this guards its own entry as multiprocessing
    asks. Ctrl-C ends them all at once.
    """
    registry.load_all()
    found: list[Point | Refused] = []
    if processes < 2 or len(grid) < _FEW:
        for index in range(len(grid)):
            found.append(cost(grid, roof, index))
            progress(len(found))
        return found
    for chunk in _chunks(grid, roof, processes):
        found += chunk
        progress(len(found))
    return found


def processors() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _chunks(grid: Grid, roof: Roof, processes: int) -> Iterator[list[Point | Refused]]:
    indexes = range(len(grid))
    chunks = [indexes[start : start + _CHUNK] for start in indexes[::_CHUNK]]
    context = multiprocessing.get_context("spawn")  # the same everywhere, whatever threads this process has
    with context.Pool(min(processes, len(chunks)), _begin, (grid, roof)) as pool:
        yield from pool.imap(_cost_chunk, chunks)


_WORK: list[tuple[Grid, Roof]] = []  # of a worker process


def _begin(grid: Grid, roof: Roof) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent stops its workers
    registry.load_all()
    _WORK.append((grid, roof))


def _cost_chunk(indexes: range) -> list[Point | Refused]:
    ((grid, roof),) = _WORK
    return [cost(grid, roof, index) for index in indexes]
