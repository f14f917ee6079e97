"""backends(): who can run a bundle here, and why the others cannot."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path

from netspec.bench.race import Contender
from netspec.bench.sizes import Sizes, words
from netspec.bundle import Manifest
from netspec.deployment import WEIGHTS
from netspec.errors import Diagnostic, NetspecError, UsageError
from netspec.plan import Plan
from netspec.planner.points import narrowed
from netspec.spec import Dim
from netspec.target import find

EAGER, COMPILED = "torch", "torch.compile"
_TORCH = {EAGER: "netspec.bench.eager:Eager", COMPILED: "netspec.bench.eager:Compiled"}


@dataclass(frozen=True)
class Backend:
    """One that can be tried: the outputs it has (none named: all), the sizes it takes, bytes of its weights."""

    contender: Contender
    precision: str
    outputs: tuple[str, ...]
    dims: Mapping[str, Dim]
    weights: int

    @property
    def name(self) -> str:
        return self.contender.name

    def refuses(self, sizes: Sizes) -> str:
        """Why it does not run at these sizes; "" where it does."""
        for name, size in sizes.items():
            dim = self.dims[name]
            if not dim.min <= size <= dim.max:
                takes = f"{dim.min}" if dim.min == dim.max else f"{dim.min} to {dim.max}"
                return f"it takes {name} {takes}, not {words({name: size})}"
        return ""


@dataclass(frozen=True)
class Absent:
    """A backend that was not timed, and why; `sizes` where it was only these."""

    name: str
    reason: str
    outputs: tuple[str, ...] = ()
    sizes: Sizes = field(default_factory=dict)


def backends(folder: Path, manifest: Manifest, plan: Plan, names: Sequence[str]) -> tuple[list[Backend], list[Absent]]:
    """Those of the given names, all where none is given, PyTorch once for every part of the network that is a target.

    Raises UsageError: NS720 for a name that the bundle does not have, NS722 where it has no weights.
    """
    known = (*_TORCH, *manifest.targets)
    for name in names:
        if name not in known:
            close = get_close_matches(name, known, n=1)
            helps = (*(f"did you mean `{each}`?" for each in close), f"it has {', '.join(known)}")
            raise UsageError(Diagnostic("NS720", f"{folder} has no backend `{name}`", help=helps))
    if WEIGHTS not in manifest.files:
        help = f"give it some: netspec bind {folder} WEIGHTS"
        raise UsageError(Diagnostic("NS722", f"{folder} has no weights to run with", help=(help,)))
    wanted = [name for name in known if not names or name in names]
    found = [_target(folder, manifest, plan, name) for name in wanted if name not in _TORCH]
    targets = [each for each in found if isinstance(each, Backend)]
    parts = dict.fromkeys(target.outputs for target in targets) or {(): None}
    torch = [_torch(folder, manifest, plan, name, part) for part in parts for name in wanted if name in _TORCH]
    return [*torch, *targets], [each for each in found if isinstance(each, Absent)]


def _torch(folder: Path, manifest: Manifest, plan: Plan, name: str, outputs: tuple[str, ...]) -> Backend:
    contender = Contender(name, _TORCH[name], folder, {"outputs": list(outputs)})
    return Backend(contender, "fp32", outputs, plan.spec.dims, manifest.files[WEIGHTS].bytes)


def _target(folder: Path, manifest: Manifest, plan: Plan, name: str) -> Backend | Absent:
    entry, wanted = manifest.targets[name], plan.spec.targets[name]
    try:
        cls = find(entry.exporter)
    except NetspecError as error:
        return Absent(name, error.diagnostics[0].message)
    why = cls.missing() or cls(**wanted.options).unrunnable()
    if not why and not cls.engine:
        why = f"exporter `{entry.exporter}` does not say how its files are timed"
    if why:
        return Absent(name, why)
    dims = narrowed(plan.spec, name).dims if wanted.dims else plan.spec.dims
    contender = Contender(name, cls.engine, folder / entry.file, wanted.options)
    return Backend(contender, entry.precision, tuple(wanted.outputs), dims, sum(_own(manifest, entry.file)))


def _own(manifest: Manifest, file: str) -> Iterator[int]:
    """Bytes of the files in a target's folder, or of the network's weights where it lies beside these."""
    home = file.rpartition("/")[0]
    for path, entry in manifest.files.items():
        if path.rpartition("/")[0] == home and (home or path in (file, WEIGHTS)):
            yield entry.bytes
