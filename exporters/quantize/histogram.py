"""Which values a tensor takes, and the range of steps that loses least of them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

BINS = 4096
# Shares of the whole range that are tried for either end: 3 dB below a quarter nothing is ever gained.
_SHARES = np.array(
    [1.0, 0.97, 0.94, 0.9, 0.86, 0.82, 0.78, 0.74, 0.7, 0.65, 0.6, 0.55, 0.5, 0.45, 0.4, 0.35, 0.3, 0.25]
)


@dataclass(frozen=True, slots=True)
class Range:
    """Where the steps of a tensor begin and end, zero among them, and the mean square of what they lose."""

    low: float
    high: float
    error: float

    @property
    def largest(self) -> float:
        return max(-self.low, self.high)


class Histogram:
    """Counts in bins over a range that doubles when a larger value comes; the same whatever the order of samples."""

    def __init__(self) -> None:
        self.low = self.high = 0.0
        self.counts = np.zeros(BINS, dtype=np.int64)
        self._reach = 2.0**-64  # counts cover -reach to reach, a power of two

    def add(self, values: np.ndarray) -> None:
        values = values.reshape(-1).astype(np.float32, copy=False)
        low, high = float(values.min()), float(values.max())
        if not (math.isfinite(low) and math.isfinite(high)):
            raise ValueError("a value is not finite")
        self.low, self.high = min(self.low, low), max(self.high, high)
        self._widen(max(-low, high))
        index = (
            np.floor(values * np.float32(BINS / 2 / self._reach)).astype(np.int32) + BINS // 2
        )  # exact: powers of two
        self.counts += np.bincount(np.minimum(index, BINS - 1), minlength=BINS)

    def merge(self, other: Histogram) -> None:
        """Count what another one has seen as well."""
        self.low, self.high = min(self.low, other.low), max(self.high, other.high)
        self._widen(other._reach)
        counts = other.counts
        reach = other._reach
        while reach < self._reach:
            counts, reach = _halved(counts), 2 * reach
        self.counts = self.counts + counts

    def _widen(self, largest: float) -> None:
        while self._reach < largest:
            self.counts = _halved(self.counts)
            self._reach *= 2

    def best(self, steps: int, *, symmetric: bool) -> Range:
        """The range, cut into `steps` equal steps, of least squared error; ends have three digits, so that they do not
        depend on how a machine orders its sums."""
        low, high = _outward(self.low), _outward(self.high)
        if low == high:
            return Range(low, high, 0.0)
        if symmetric:
            low, high = -max(-low, high), max(-low, high)
        lows, highs = low * _SHARES, high * _SHARES
        if symmetric:
            pairs = np.stack([lows, highs], 1)
        else:
            pairs = np.stack(np.meshgrid(lows, highs, indexing="ij"), -1).reshape(-1, 2)
        errors = self._lost(pairs[:, 0], pairs[:, 1], steps)
        chosen = int(np.argmin(errors))  # the first, so the widest, of equals
        low, high = (_outward(end) for end in pairs[chosen])
        return Range(low, high, float(errors[chosen]) / int(self.counts.sum()))

    @property
    def largest(self) -> float:
        """The largest magnitude, to three digits."""
        return max(-_outward(self.low), _outward(self.high))

    @property
    def energy(self) -> float:
        """The mean square."""
        return float((self.counts * self._centres**2).sum()) / max(1, int(self.counts.sum()))

    @property
    def _centres(self) -> np.ndarray:
        return (np.arange(BINS) + 0.5) * (2 * self._reach / BINS) - self._reach

    def _lost(self, low: np.ndarray, high: np.ndarray, steps: int) -> np.ndarray:
        """Squared error of each pair of ends: a twelfth of a step squared inside, the distance outside."""
        centres = self._centres
        moments = [np.concatenate([[0.0], np.cumsum(self.counts * centres**power)]) for power in range(3)]
        begin, end = np.searchsorted(centres, low), np.searchsorted(centres, high)
        inside = (moments[0][end] - moments[0][begin]) * ((high - low) / steps) ** 2 / 12
        below = [m[begin] for m in moments]
        above = [m[-1] - m[end] for m in moments]
        outside = [n2 - 2 * at * n1 + at**2 * n0 for (n0, n1, n2), at in ((below, low), (above, high))]
        return np.asarray(inside + outside[0] + outside[1])


def _halved(counts: np.ndarray) -> np.ndarray:
    """The same counts in bins twice as wide."""
    nothing = np.zeros(BINS // 4, dtype=np.int64)
    return np.concatenate([nothing, counts.reshape(-1, 2).sum(1), nothing])


def _outward(value: float) -> float:
    """Away from zero to three digits."""
    if value == 0:
        return 0.0
    unit = 10.0 ** (math.floor(math.log10(abs(value))) - 2)
    return math.copysign(float(f"{math.ceil(abs(value) / unit - 1e-9) * unit:.3g}"), value)
