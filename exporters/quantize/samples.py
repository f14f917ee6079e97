"""Inputs to measure on: what a sampler would feed the network over the whole of time, or a file of the user's."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from netspec.errors import Diagnostic, ExportError, WeightsError
from netspec.parity import inputs_at
from netspec.plan import Plan
from netspec.planner import lower
from netspec.planner.points import Env, Point, pinned, points
from netspec.target import ExportRequest, Port
from netspec.weights.aligned import load_tensors

Sample = Mapping[str, np.ndarray]  # input → one batch, float32 or integers

BUDGET_MACS = 1e12  # of all runs of the float network: some ten seconds on two cores
FEWEST, MOST = 4, 8  # batches to calibrate on
HELD_OUT = 2  # and to measure on
_SEED = 1000  # parity's inputs have small ones: nothing is proven on what it was fitted to


def chosen(request: ExportRequest, calibration: str | None) -> tuple[list[Sample], list[Sample]]:
    """Batches to calibrate on, and others to measure on: of the user's file, or made along the diffusion process, as
    many as a budget of time allows. Of a file with a single sample it is both. Raises ExportError (NS560)."""
    plan = request.plan
    assert plan is not None  # a deployment always has one
    if calibration is not None:
        found = given(request, _located(plan, calibration))
        held = max(1, min(HELD_OUT, len(found) // 2))
        return found[:-held] or found, found[-held:]
    point = _point(plan)
    count = int(min(max(BUDGET_MACS // max(point.macs, 1) - HELD_OUT, FEWEST), MOST))
    every = list(made(plan, point.sizes, count + HELD_OUT))
    step = len(every) // HELD_OUT
    apart = range(step // 2, len(every), step)[:HELD_OUT]  # in the middle of each part of time
    return [each for index, each in enumerate(every) if index not in apart], [every[index] for index in apart]


def largest(request: ExportRequest, sample: Sample) -> int:
    """The numbers that are alive at once in a run on a sample, which no value has more of."""
    assert request.plan is not None  # a deployment always has one
    sizes: dict[str, int] = {}
    for port in request.inputs:
        named = zip(port.shape, sample[port.name].shape, strict=True)
        sizes |= {want: have for want, have in named if isinstance(want, str)}
    return lower(pinned(request.plan.spec, sizes)).peak_elements


def _located(plan: Plan, file: str) -> Path:
    """The user's file: beside the spec that names it, else as seen from the working directory."""
    document = plan.spec.document
    beside = None if document is None else Path(document.source.name).parent / file
    return beside if beside is not None and beside.exists() else Path(file)


def _point(plan: Plan) -> Point:
    """The sizes to measure at: `opt` where that is cheap, else the cheapest."""
    found = points(plan)
    cheapest = min(found, key=lambda point: point.macs)
    opt = next((point for point in found if point.name == "opt"), cheapest)
    return opt if opt.macs * MOST <= BUDGET_MACS else cheapest


def made(plan: Plan, sizes: Env, count: int) -> Iterator[Sample]:
    """`count` batches along the diffusion process; the same ones every time.

    Time runs over its whole range, evenly between batches and inside each. The image at time t is a mixture of a
    picture and noise: sqrt(a) x0 + sqrt(1 - a) e, a = exp(-0.1 u - 9.95 u²), u from 0 to 1, the variance-preserving
    process of Song et al. 2021 (arXiv:2011.13456, Eq. 33), or, where time itself goes from 0 to 1, the straight path
    (1 - t) x0 + t e of Liu et al. 2023 (arXiv:2209.03003). Pictures are noise of unit variance whose amplitude falls
    with frequency, as that of photographs and of latents does. Without a timestep, images are such pictures. Text and
    other conditions are unit noise, as in parity.
    """
    main = next((name for name, kind in plan.inputs.items() if kind.layout in ("image", "tokens")), None)
    timed = next((name for name in _indices(plan) if name in plan.inputs), None)
    for step in range(count):
        random = np.random.default_rng(_SEED + step)
        sample = inputs_at(plan, sizes, _SEED + step)
        place = np.zeros(1)
        for name in _indices(plan):
            batch = sample[name].shape[0]
            spread = (step + (np.arange(batch) + 0.5) / batch) / count  # even in (0, 1)
            u = np.asarray(spread if name == timed else random.random(batch))
            place = u if name == timed else place
            sample[name] = _between(plan, name, u, sample[name].dtype)
        for name, kind in plan.inputs.items():
            if kind.layout == "image":
                sample[name] = _pictures(random, sample[name].shape)
        if main is not None and timed is not None:
            sample[main] = _noised(sample[main], random, place, straight=_last(plan, timed) <= 1)
        yield sample


def given(request: ExportRequest, path: Path) -> list[Sample]:
    """The user's inputs: an array for each of the graph's, with one more axis in front, over samples.

    Raises ExportError (NS560) where the file cannot be read, or does not fit the inputs.
    """
    arrays = _read(path)
    wanted = {port.name: port for port in request.inputs}
    found = [*_lacking(path, wanted, arrays), *_misfits(path, request, arrays)]
    if found:
        raise ExportError(*found)
    count = len(next(iter(arrays.values())))
    kinds = {name: np.float32 if port.dtype.is_floating_point else None for name, port in wanted.items()}
    return [{name: arrays[name][index].astype(kinds[name] or np.int64) for name in wanted} for index in range(count)]


def _indices(plan: Plan) -> list[str]:
    """Inputs that are one number a sample: timesteps, labels; the timestep is what a spec lists first."""
    names = [name for rule in plan.spec.conditioning for name, owner in plan.spec.embedded.items() if owner == rule]
    return [name for name in names if name in plan.inputs and plan.inputs[name].layout == "index"]


def _ends(plan: Plan, name: str) -> tuple[float, float]:
    probes = plan.spec.conditioning[plan.spec.embedded[name]].probes
    return min(probes), max(probes)


def _last(plan: Plan, name: str) -> float:
    return _ends(plan, name)[1]


def _between(plan: Plan, name: str, u: np.ndarray, dtype: np.dtype) -> np.ndarray:
    low, high = _ends(plan, name)
    values = low + u * (high - low)
    return np.asarray(np.rint(values) if np.issubdtype(dtype, np.integer) else values, dtype=dtype)


def _pictures(random: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Noise (N, C, *sizes) with amplitudes falling as 1 / frequency, of unit variance in every channel."""
    sizes, axes = shape[2:], tuple(range(2, len(shape)))
    frequencies = np.meshgrid(*(np.fft.fftfreq(size) * size for size in sizes), indexing="ij")
    amplitude = 1 / np.maximum(np.sqrt(sum(f**2 for f in frequencies)), 1.0)
    waves = np.fft.fftn(random.standard_normal(shape), axes=axes) * amplitude
    images = np.fft.ifftn(waves, axes=axes).real
    deviation = np.sqrt((images**2).mean(axis=axes, keepdims=True))
    return np.asarray(images / np.maximum(deviation, 1e-12), dtype=np.float32)


def _noised(x0: np.ndarray, random: np.random.Generator, u: np.ndarray, *, straight: bool) -> np.ndarray:
    u = u.reshape(-1, *(1,) * (x0.ndim - 1))
    noise = random.standard_normal(x0.shape)
    if straight:
        return np.asarray((1 - u) * x0 + u * noise, dtype=np.float32)
    kept = np.exp(-0.1 * u - 9.95 * u**2)
    return np.asarray(np.sqrt(kept) * x0 + np.sqrt(1 - kept) * noise, dtype=np.float32)


def _read(path: Path) -> dict[str, np.ndarray]:
    try:
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as file:
                return dict(file.items())
        return {name: tensor.numpy() for name, tensor in load_tensors(path)}
    except WeightsError as error:
        raise ExportError(*(_wrong(path, each.message) for each in error.diagnostics)) from error
    except (OSError, ValueError, TypeError, zipfile.BadZipFile, EOFError) as error:
        raise ExportError(_wrong(path, f"cannot be read: {error}")) from error


def _lacking(path: Path, wanted: Mapping[str, Port], arrays: Mapping[str, np.ndarray]) -> Iterator[Diagnostic]:
    for name in wanted:
        if name not in arrays:
            yield _wrong(path, f"has no array `{name}`: it has {', '.join(sorted(arrays)) or 'none'}")


def _misfits(path: Path, request: ExportRequest, arrays: Mapping[str, np.ndarray]) -> Iterator[Diagnostic]:
    """Shapes that are not those of the inputs, sizes outside `dims`, numbers that are none."""
    assert request.plan is not None  # a deployment always has one
    dims = request.plan.spec.dims
    sizes: dict[str, int] = {}
    counts = {name: len(arrays[name]) if arrays[name].ndim else 0 for name in arrays}
    for port in request.inputs:
        if port.name not in arrays:
            continue
        array = arrays[port.name]
        shape = "samples, " + ", ".join(map(str, port.shape))
        if array.ndim != len(port.shape) + 1:
            yield _wrong(path, f"`{port.name}` has the shape {list(array.shape)}, it needs [{shape}]")
            continue
        for have, want in zip(array.shape[1:], port.shape, strict=True):
            expected = want if isinstance(want, int) else sizes.setdefault(want, have)
            dim = dims.get(want) if isinstance(want, str) else None
            if have != expected:
                yield _wrong(path, f"`{port.name}` has the shape {list(array.shape)}: {want} is {expected}, not {have}")
            elif dim is not None and not dim.min <= have <= dim.max:
                yield _wrong(path, f"`{port.name}`: {want} is {have}, outside {dim.min} to {dim.max}")
        if not np.isfinite(array).all():
            yield _wrong(path, f"`{port.name}` holds numbers that are not finite")
        if counts[port.name] != max(counts[each.name] for each in request.inputs if each.name in arrays):
            yield _wrong(path, f"`{port.name}` has {counts[port.name]} samples, other inputs have more")
        elif not counts[port.name]:
            yield _wrong(path, f"`{port.name}` has no samples")


def _wrong(path: Path, what: str) -> Diagnostic:
    return Diagnostic(
        "NS560",
        f"calibration file {path.name}: {what}",
        help=("one array for each input, by its name, with samples along a first axis of its own",),
    )
