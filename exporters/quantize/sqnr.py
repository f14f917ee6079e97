"""Signal to quantisation noise: a rewritten graph against the float network, on inputs it was not calibrated with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from exporters.quantize.calibration import Watched
from exporters.quantize.samples import Sample

MOST = 200.0  # decibels: stands for no noise at all


@dataclass
class Energies:
    """Energy of what was wanted and of what was wrong, summed over samples."""

    wanted: float = 0.0
    wrong: float = 0.0

    def add(self, wanted: np.ndarray, got: np.ndarray) -> None:
        difference = np.asarray(got, dtype=np.float64) - wanted
        self.wanted += float(np.square(wanted, dtype=np.float64).sum())
        self.wrong += float(np.square(difference).sum())

    @property
    def decibels(self) -> float:
        """10 log10 of the ratio; -MOST where a number is not finite, or noise is where silence was wanted."""
        if not np.isfinite(self.wrong):
            return -MOST
        if self.wrong == 0:
            return MOST
        return float(np.clip(10 * np.log10(self.wanted / self.wrong), -MOST, MOST)) if self.wanted else -MOST


@dataclass(frozen=True)
class Recording:
    """What the float network gave on held-out samples, for each of the values that are compared."""

    samples: Sequence[Sample]
    values: list[dict[str, np.ndarray]] = field(default_factory=list)

    @classmethod
    def of(cls, run: Watched, samples: Sequence[Sample], names: Sequence[str]) -> Recording:
        return cls(samples, [run(sample, names) for sample in samples])

    def compare(self, run: Watched) -> dict[str, float]:
        """Decibels of every value that both graphs have."""
        found: dict[str, Energies] = {}
        for sample, wanted in zip(self.samples, self.values, strict=True):
            for name, got in run(sample, list(wanted)).items():
                found.setdefault(name, Energies()).add(wanted[name], got)
        return {name: energies.decibels for name, energies in found.items()}


def worst(decibels: Mapping[str, float], outputs: Sequence[str]) -> float:
    """Of the outputs, the one with most noise."""
    return min(decibels[name] for name in outputs)
