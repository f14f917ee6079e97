"""What is decided about each quantised layer: how its activations and its weight are stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from exporters.quantize.calibration import Ranges
from exporters.quantize.histogram import Histogram
from exporters.quantize.numbers import FLOAT8_MAX, TINY
from exporters.quantize.scheme import STORED, Scheme
from netspec.precision import PrecisionPlan

FLOAT8_NOISE = 2.0**-6 / 12 / (7 / 3)  # steps of an eighth of a binade, in which squares average 7/3


@dataclass(frozen=True, slots=True)
class Grid:
    """The steps of an activation: real = (stored - zero) * scale. `error` is the mean square of what they lose, `noise`
    its share of the energy."""

    dtype: torch.dtype
    scale: float
    zero: int
    error: float
    noise: float


@dataclass(frozen=True, slots=True)
class Layer:
    """One quantised layer. read, made: the grids of what enters and leaves it; None for float.

    block: weights that share a scale, 0 for one scale for each channel. `base` is the type of what is not quantised.
    energy: the mean square of each channel that enters; variance: of each that leaves; None where nobody looked.
    """

    path: str
    bits: int
    base: torch.dtype
    read: Grid | None
    made: Grid | None
    block: int = 0
    energy: np.ndarray | None = None
    variance: np.ndarray | None = None

    def noise(self, weight: torch.Tensor, back: torch.Tensor) -> float:
        """The share of its output that rounding loses, averaged over channels: a large one hides no small ones.

        As if all roundings were independent: of activations, spread by the weight, of the weight, spread by the energy
        of what it meets, and of the output. weight, back: before and after.
        """
        own, lost = _energies(weight), _energies(weight - back)
        if self.read is None or self.energy is None or self.variance is None:
            return float(lost.sum() / own.sum().clamp_min(TINY))
        groups = len(self.energy) // own.shape[1]
        met = (
            torch.from_numpy(self.energy).reshape(groups, -1).repeat_interleave(own.shape[0] // groups, 0)
        )  # (out, in)
        noise = self.read.error * own.sum(1) + (met * lost).sum(1) + (self.made.error if self.made else 0.0)
        variance = torch.from_numpy(self.variance).float()
        return float(torch.where(noise < variance, noise / variance.clamp_min(TINY), torch.ones_like(noise)).mean())


def layers(
    modules: Mapping[str, nn.Module], precision: PrecisionPlan, ranges: Ranges, scheme: Scheme, block: int
) -> dict[str, Layer]:
    """Every layer that the scheme can write in the precision that the plan gives it."""
    found: dict[str, Layer] = {}
    for path in ranges.paths:
        dtype = precision.float_at(path)
        bits = 4 if precision.at(path) == "int4" else 8
        if scheme.weights == "blocks":
            if size := fitting(_weight(modules[path]).shape[1], block):
                found[path] = Layer(path, bits, dtype, None, None, size)
            continue
        kind = STORED[scheme.activations]
        entering, leaving = ranges.read(path), ranges.made(path)
        read = grid(entering.seen, kind, dtype)
        made = grid(leaving.seen, kind, dtype) if scheme.outputs and path in ranges.convolutions else None
        found[path] = Layer(path, bits, dtype, read, made, energy=entering.energy, variance=leaving.variance)
    return found


def fitting(width: int, block: int) -> int:
    """The largest size of blocks, at most the one wanted, that divides a row; 0 where none does."""
    while block >= 16 and width % block:
        block //= 2
    return block if block >= 16 else 0


def grid(seen: Histogram, kind: torch.dtype, base: torch.dtype) -> Grid:
    """The steps that lose least of what was seen."""
    energy = seen.energy
    if kind == torch.float8_e4m3fn:
        return Grid(kind, rounded(seen.largest / FLOAT8_MAX, base), 0, FLOAT8_NOISE * energy, FLOAT8_NOISE)
    symmetric = kind == torch.int8
    best = seen.best(254 if symmetric else 255, symmetric=symmetric)
    noise = best.error / energy if energy else 0.0
    if symmetric:
        return Grid(kind, rounded(best.high / 127, base), 0, best.error, noise)
    scale = rounded((best.high - best.low) / 255, base)
    return Grid(kind, scale, int(np.clip(round(-best.low / scale), 0, 255)), best.error, noise)


def rounded(scale: float, dtype: torch.dtype) -> float:
    """A scale as its type holds it: never zero."""
    smallest = TINY if dtype == torch.float32 else float(torch.finfo(dtype).tiny)
    return float(torch.tensor(max(scale, smallest), dtype=dtype))


def _energies(weight: torch.Tensor) -> torch.Tensor:
    """Squares of a weight (out, in, *kernel), summed over its kernel."""
    squares = weight.square()
    return squares.flatten(2).sum(2) if squares.ndim > 2 else squares


def _weight(module: nn.Module) -> torch.Tensor:
    return module.get_parameter("weight")
