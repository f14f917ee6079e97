"""prove(): an exported graph and its weights against PyTorch, whatever the weights are."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from netspec import parity
from netspec.deployment import WEIGHTS, Deployment
from netspec.parity import Outcome
from netspec.planner.points import fixed, points
from netspec.weights import store
from netspec.weights.probe import write_probe


def prove(
    deployment: Deployment,
    bundle: Path,
    *,
    fresh: bool,
    scratch: Path | None = None,
    progress: Callable[[str], None],
) -> Outcome:
    """Parity of a deployment's files with its `meta` model, which is filled here from the bundle's float32 weights.

    Fresh weights hide errors, and so do those that give an output of zeros: the target is then made once more, of a
    copy of them that hides none (`write_probe`). That lies in `scratch`, by default the system's folder for temporary
    files: nothing is written beside a finished graph. Raises ParityError.
    Where memory is too short for two backends, or nothing here runs the files, the outcome says so instead.
    """
    exporter, weights, model = deployment.exporter, bundle / WEIGHTS, deployment.model
    if why := exporter.unrunnable():
        return Outcome((), (f"all: {why}",))
    held = 2 * weights.stat().st_size * (2 if fresh else 1)  # both backends hold the weights
    smallest = min(map(parity.activation_bytes, points(deployment.plan)))
    free = available()
    if free is not None and held + smallest > free:
        needed = f"needs {(held + smallest) / 1e9:.1f} GB of memory, {free / 1e9:.1f} GB are available"
        return Outcome((), (f"all: {needed}",))
    memory = float("inf") if free is None else free - held
    if not fresh:
        store.fill(model, weights)
        fresh = parity.is_blank(deployment.plan, model)
    with tempfile.TemporaryDirectory(dir=scratch, prefix=".probe-") as name:
        file, source = bundle / deployment.file, weights
        if fresh:
            file, source = _rehearsed(deployment, bundle, Path(name)), Path(name) / WEIGHTS
        verify = partial(
            parity.verify,
            deployment.plan,
            model,
            target="" if deployment.name == "onnx" else deployment.name,
            memory=memory,
            progress=progress,
        )
        tolerance = exporter.tolerance(deployment.request)
        outcome = verify(exporter.runner(file), precision=deployment.precision, tolerance=tolerance)
        twin = exporter.twin(replace(deployment.request, source=source))
        if twin is None:
            return outcome
        exact = verify(twin)
        return Outcome(outcome.rows + exact.rows, outcome.skipped)


def ship(deployment: Deployment, bundle: Path) -> None:
    """A run of the network with the bundle's own weights, written where the target wants one; its model is filled."""
    exporter, request, plan = deployment.exporter, deployment.request, deployment.plan
    for sizes in exporter.samples(request):
        if fixed(plan, sizes).cost.macs <= parity.BUDGET_MACS:
            store.fill(deployment.model, bundle / WEIGHTS)
            inputs, outputs = parity.example(plan, deployment.model, deployment.precision, sizes)
            exporter.ship(request, bundle / deployment.folder, inputs, outputs)
            return


def _rehearsed(deployment: Deployment, bundle: Path, folder: Path) -> Path:
    """The target's main file with weights that hide nothing, in `folder`; the model is filled with the same."""
    probe = folder / WEIGHTS
    write_probe(deployment.model, bundle / WEIGHTS, probe)
    store.fill(deployment.model, probe)
    if deployment.request.shared is not None:
        return Path(shutil.copy(bundle / deployment.file, folder))
    own = folder / "target"
    own.mkdir()
    deployment.exporter.export(replace(deployment.request, source=probe), own)
    return own / deployment.exporter.file


def available() -> int | None:
    """Bytes of memory that a program may still take: free ones and those of caches; None where nobody says."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError):  # not Linux
        pass
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None
