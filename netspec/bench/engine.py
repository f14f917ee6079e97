"""Engine: one backend with one network, loaded to be timed. Imports nothing heavy, so a process holds what it times."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, slots=True)
class Kernel:
    """One operation that a runtime ran, in its own words: seconds of one run of the network, and names that tell which
    part of the network it belongs to, the surest first: its own, those of what it makes, of what it reads."""

    op: str
    seconds: float
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Profile:
    """Where the time of a run goes: every operation, seconds of the run as a whole, both as means, and for nodes of the
    plan their place in the spec (`net.yaml:21`), as far as the files tell."""

    kernels: Sequence[Kernel]
    seconds: float
    places: Mapping[str, str]


class Engine(ABC):
    """Files, loaded as their users load them. A target names its own as `module:Class`; that module should import the
    runtime and nothing else.

    Threads that wait for work must sleep: another backend is being timed. `options` are what the spec gives the target.
    The constructor raises what its runtime raises where this machine cannot run the files.
    """

    def __init__(self, path: Path, threads: int, **options: Any) -> None:  # noqa: B027  # an engine may need none
        """path: the target's main file, or the bundle for PyTorch."""

    @abstractmethod
    def prepare(self, inputs: Mapping[str, np.ndarray]) -> Callable[[], object]:
        """What runs the network once on these inputs (float32 and whole numbers, by name; there may be more than it
        has), already in the types and places that the runtime takes."""

    def profile(self, inputs: Mapping[str, np.ndarray], runs: int) -> Profile:
        """Where the time of `runs` runs goes; the engine is of no use after. For runtimes that say so."""
        raise RuntimeError(f"{type(self).__name__} has no profile")


_REACH = 4  # operations between one without a name and the next that has one


def surroundings(own: Mapping[str, Sequence[str]], readers: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
    """For each operation the names for its `Kernel`: its own, those of what reads it, nearest first, of what it reads.

    own: names of an operation, of what it makes and was fused from. readers: operations that take what it makes.
    """
    sources: dict[str, list[str]] = {each: [] for each in own}
    for each in own:
        for reader in readers.get(each, ()):
            sources[reader].append(each)
    found = {}
    for each in own:
        reached, edge = {each: None}, [each]
        for _ in range(_REACH):
            edge = [reader for op in edge for reader in readers.get(op, ()) if reader not in reached]
            reached |= dict.fromkeys(edge)
        around = [*reached, *sources[each]]
        found[each] = tuple(dict.fromkeys(name for op in around for name in own[op]))
    return found


def named(name: str) -> type[Engine]:
    """The class that `module:Class` names."""
    module, _, cls = name.partition(":")
    return getattr(import_module(module), cls)  # type: ignore[no-any-return]  # the caller's word
