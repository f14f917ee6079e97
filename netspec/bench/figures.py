"""What the times of a race say: median, 90th percentile, and ratios with their uncertainty."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 1000
CONFIDENCE = 0.95

Turns = Sequence[Sequence[float]]  # seconds of each run, by round


@dataclass(frozen=True, slots=True)
class Ratio:
    """One median in terms of another, and between which bounds it lies at 95 % confidence."""

    value: float
    low: float
    high: float


def quantile(turns: Turns, share: float) -> float:
    """Of all runs."""
    return float(np.quantile(np.concatenate([np.asarray(turn) for turn in turns]), share))


def ratio(turns: Turns, base: Turns) -> Ratio:
    """Median over median, with a bootstrap over rounds: both are drawn from the same rounds, since what disturbed one
    disturbed the other (Efron & Tibshirani 1993, chapter 13: the percentile interval)."""
    count = min(len(turns), len(base))
    drawn = np.random.default_rng(0).integers(count, size=(RESAMPLES, count))
    values = [_median(turns, rounds) / _median(base, rounds) for rounds in drawn]
    low, high = np.quantile(values, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Ratio(quantile(turns, 0.5) / quantile(base, 0.5), float(low), float(high))


def _median(turns: Turns, rounds: Sequence[int]) -> float:
    return float(np.median(np.concatenate([np.asarray(turns[index]) for index in rounds])))
