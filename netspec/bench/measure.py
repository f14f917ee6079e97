"""measure(): a bundle on every backend that runs here → Report."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from netspec import parity, proof
from netspec.bench import sizes as given
from netspec.bench.backends import EAGER, Absent, Backend, backends
from netspec.bench.figures import Turns, quantile, ratio
from netspec.bench.nodes import NodeTable, attributed
from netspec.bench.process import Worker, WorkerError
from netspec.bench.race import Runner, race
from netspec.bench.report import Report, Timing, environment
from netspec.bench.sizes import Sizes
from netspec.bundle import Manifest
from netspec.compiler import read_spec
from netspec.errors import Diagnostic, UsageError
from netspec.plan import Plan
from netspec.planner import lower
from netspec.planner.points import fixed

SECONDS = 20.0  # of one race, where nobody says
PROFILED = 2.0  # seconds, about, of the runs that are profiled
Progress = Callable[[str], None]


@dataclass(frozen=True)
class Options:
    """What a measurement is told. `backends`: all where none is named; a race at each of `sizes` ends after `rounds` or
    `seconds`, whichever comes first; `threads`: of each backend, as many as there are processors where 0."""

    backends: Sequence[str] = ()
    sizes: Sequence[str] = ("opt",)
    rounds: int | None = None
    seconds: float | None = None
    threads: int = 0
    per_node: bool = False


def measure(folder: str | os.PathLike[str], options: Options, progress: Progress = lambda text: None) -> Report:
    """Time the bundle in `folder`.

    Raises WeightsError NS614 where it is none, UsageError for a backend (NS720) or sizes (NS721) that it does not have,
    where it has no weights (NS722), where the backends together need more memory than there is (NS723).
    """
    place = Path(folder)
    manifest = Manifest.read(place)
    plan = lower(read_spec(place))
    found, absent = backends(place, manifest, plan, options.backends)
    wanted = [given.parse(plan, text) for text in dict.fromkeys(options.sizes)]
    course = _Course(replace(options, threads=options.threads or processors()), progress)
    course.absent += absent
    for outputs in dict.fromkeys(backend.outputs for backend in found):
        together = [backend for backend in found if backend.outputs == outputs]
        course.part(plan, outputs, together, wanted)
    return Report(
        manifest.name,
        environment(course.options.threads),
        tuple(course.timings),
        tuple(course.absent),
        tuple(course.tables),
        course.memory_by,
    )


def processors() -> int:
    """How many this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@dataclass(frozen=True)
class _Leg:
    """One part of a network at one setting of its sizes: its plan there, its inputs in a file."""

    plan: Plan
    sizes: Sizes
    inputs: Path

    @property
    def samples(self) -> int:
        """In one run."""
        return next(iter(self.plan.inputs.values())).batch.opt


class _Course:
    """A measurement on its way, part by part."""

    def __init__(self, options: Options, progress: Progress) -> None:
        self.options, self.progress = options, progress
        self.timings: list[Timing] = []
        self.absent: list[Absent] = []
        self.tables: list[NodeTable] = []
        self.memory_by = ""

    def part(self, plan: Plan, outputs: tuple[str, ...], found: list[Backend], wanted: Iterable[Sizes]) -> None:
        """Race those that have the same outputs, at each of the sizes."""
        with tempfile.TemporaryDirectory(prefix="netspec-bench-") as name, ExitStack() as stack:
            scratch = Path(name)
            legs = list(_legs(plan, outputs, wanted, scratch))
            _check_memory(found, legs)
            runners: dict[str, Runner] = {}
            for backend in found:
                if all(backend.refuses(leg.sizes) for leg in legs):
                    continue
                self.progress(f"loading {backend.name}")
                worker = stack.enter_context(Worker(self.options.threads, scratch))
                try:
                    runners[backend.name] = Runner.start(backend.contender, worker)
                except WorkerError as error:
                    self.absent.append(Absent(backend.name, str(error), outputs))
                    found = [each for each in found if each is not backend]
            timed = [self._race(leg, found, runners) for leg in legs]
            stack.close()  # a profile has the machine to itself
            for leg, timings in zip(legs, timed, strict=True):
                for timing in timings:
                    self.timings.append(timing)
                    if self.options.per_node and runners[timing.backend].profiles:
                        (backend,) = (each for each in found if each.name == timing.backend)
                        self._profile(leg, backend, timing.median, scratch)

    def _race(self, leg: _Leg, found: Sequence[Backend], runners: Mapping[str, Runner]) -> list[Timing]:
        """One leg. Who fails says why, and may do better on the next."""
        ready: dict[str, Backend] = {}
        for backend in found:
            reason = backend.refuses(leg.sizes)
            if not reason:
                self.progress(f"{backend.name}, {given.words(leg.sizes)}: first run")
                try:
                    runners[backend.name].warm_up(leg.inputs)
                except WorkerError as error:
                    reason = str(error)
                else:
                    ready[backend.name] = backend
            if reason:
                self.absent.append(Absent(backend.name, reason, backend.outputs, leg.sizes))
        limit = SECONDS if self.options.rounds is None and self.options.seconds is None else self.options.seconds
        turns, failed = race(
            {name: runners[name] for name in ready},
            rounds=self.options.rounds,
            seconds=limit,
            progress=lambda text: self.progress(f"{given.words(leg.sizes)}: {text}"),
        )
        self.absent += [Absent(name, reason, ready[name].outputs, leg.sizes) for name, reason in failed.items()]
        base = EAGER if EAGER in turns else next(iter(turns), "")
        timings = []
        for name, own in turns.items():
            peak, self.memory_by = runners[name].worker.memory()
            timings.append(_timing(leg, ready[name], runners[name], own, base, turns[base], peak))
        return timings

    def _profile(self, leg: _Leg, backend: Backend, median: float, scratch: Path) -> None:
        """Where the time of one backend goes."""
        self.progress(f"{backend.name}, {given.words(leg.sizes)}: profile")
        runs = min(50, max(3, round(PROFILED / median)))
        try:
            with Worker(self.options.threads, scratch) as worker:
                Runner.start(backend.contender, worker)
                profile = worker.profile(leg.inputs, runs)
        except WorkerError as error:
            self.absent.append(Absent(backend.name, f"no profile: {error}", backend.outputs, leg.sizes))
            return
        rows = attributed(profile, leg.plan)
        self.tables.append(NodeTable(backend.name, backend.outputs, leg.sizes, runs, profile.seconds, rows))


def _legs(plan: Plan, outputs: tuple[str, ...], wanted: Iterable[Sizes], scratch: Path) -> Iterator[_Leg]:
    """From the cheapest to the dearest: what a process held at most is then of the sizes that it ran last."""
    part = plan.only(outputs) if outputs else plan
    words = {word for type_ in part.inputs.values() for size in type_.shape for word in size.words}
    settings = {tuple((name, size) for name, size in sizes.items() if name in words): None for sizes in wanted}
    plans = [(dict(setting), fixed(part, dict(setting))) for setting in settings]
    for index, (sizes, there) in enumerate(sorted(plans, key=lambda each: each[1].cost.macs)):
        inputs = scratch / f"{'-'.join(outputs)}{index}.npz"
        np.savez(inputs, **parity.inputs_at(there, sizes))  # type: ignore[arg-type]  # of its own flag
        yield _Leg(there, sizes, inputs)


def _check_memory(found: Sequence[Backend], legs: Sequence[_Leg]) -> None:
    """UsageError NS723 where all of them together do not fit: each holds weights and activations of its own."""
    activations = max(4 * 4 * leg.plan.peak_elements for leg in legs)
    needed, free = sum(backend.weights + activations for backend in found), proof.available()
    if free is not None and needed > free:
        raise UsageError(
            Diagnostic(
                "NS723",
                f"{len(found)} backends need {needed / 1e9:.1f} GB of memory, {free / 1e9:.1f} GB are available",
                help=("name fewer: `--backends torch,onnx`", "or smaller `--sizes`"),
            )
        )


def _timing(
    leg: _Leg, backend: Backend, runner: Runner, turns: Turns, base: str, base_turns: Turns, peak: int
) -> Timing:
    middle = quantile(turns, 0.5)
    return Timing(
        backend=backend.name,
        precision=backend.precision,
        outputs=backend.outputs,
        sizes=leg.sizes,
        median=middle,
        p90=quantile(turns, 0.9),
        throughput=leg.samples / middle,
        base=base,
        ratio=ratio(turns, base_turns),
        peak_bytes=peak,
        load=runner.load,
        first=runner.first,
        rounds=len(turns),
        runs=sum(map(len, turns)),
    )
