"""What a spec may set about quantisation, and what follows for the proof."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from netspec.errors import Diagnostic

SQNR = 20.0  # dB: noise of a tenth of the output, a few steps of 8 bits after some fifty layers
SQNR_4 = 15.0  # in four bits, whose steps are sixteen times as wide
BLOCK = 64  # of 32 keep 1 dB more in four bits, and take a fifth longer (docs/performance/few-bits.md)
BLOCKS = (16, 32, 64, 128, 256)
# Parity compares largest with largest, at sizes and times that were not calibrated: errors reach five standard
# deviations where outputs reach three, and half of the bound is left for what the samples did not show.
PEAKS = 5 / 3 * 2


@dataclass(frozen=True)
class Settings:
    """Options of a quantised target.

    calibration: a .safetensors or .npz file of the user's inputs, stacked, instead of made ones.
    sqnr: decibels that every output must keep, against the float network on inputs that were not calibrated with.
    block: weights that share a scale, where weights alone are quantised.
    """

    calibration: str | None = None
    sqnr: float = SQNR
    block: int = BLOCK


DEFAULT = Settings()


def refusals(settings: Settings, path: str = "") -> Iterator[Diagnostic]:
    """NS561 for each option that means nothing."""
    given = settings.calibration
    if given is not None and not (isinstance(given, str) and given.endswith((".safetensors", ".npz"))):
        yield _wrong("calibration", given, "name a .safetensors or .npz file of inputs")
    sqnr = settings.sqnr
    if isinstance(sqnr, bool) or not isinstance(sqnr, int | float) or not 0 < sqnr <= 100:
        yield _wrong("sqnr", sqnr, "decibels, more than 0 and at most 100; 20 is a tenth of noise, 30 a thirtieth")
    if settings.block not in BLOCKS or isinstance(settings.block, bool):
        yield _wrong("block", settings.block, f"one of {', '.join(map(str, BLOCKS))}")


def tolerance(settings: Settings) -> float:
    """How far outputs may be from float32's, relative to the largest, where the bound holds."""
    return float(f"{PEAKS * 10 ** (-settings.sqnr / 20):.2g}")


def _wrong(option: str, value: object, help: str) -> Diagnostic:
    return Diagnostic("NS561", f"`{option}: {value}` means nothing", help=(help,))
