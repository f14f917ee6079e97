"""Tensors as whole numbers (or eight-bit floats) and scales: every rounding of quantisation is here."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

FLOAT8_MAX = 448.0  # of E4M3
TINY = 2.0**-100


@dataclass(frozen=True)
class Quantised:
    """A weight in few bits: numbers, scales in float32 that their type holds, and what they stand for."""

    data: Tensor
    scale: Tensor
    back: Tensor


def per_channel(weight: Tensor, dtype: torch.dtype, at_least: Tensor | None = None) -> Quantised:
    """int8 with one scale for each output channel (the first axis), -127 to 127; scales are `at_least` these."""
    rows = weight.float().flatten(1)
    scale = rows.abs().amax(1) / 127
    scale = _held(scale if at_least is None else torch.maximum(scale, at_least), dtype)
    data = (rows / scale[:, None]).round().clamp(-127, 127)
    return Quantised(data.to(torch.int8).reshape(weight.shape), scale, (data * scale[:, None]).reshape(weight.shape))


def float8(weight: Tensor, dtype: torch.dtype) -> Quantised:
    """E4M3 with one scale for the whole tensor."""
    weight = weight.float()
    scale = _held(weight.abs().amax() / FLOAT8_MAX, dtype)
    data = (weight / scale).clamp(-FLOAT8_MAX, FLOAT8_MAX).to(torch.float8_e4m3fn)
    return Quantised(data, scale, data.float() * scale)


# A row of few weights has few steps: cutting its largest ones off may lose less than rounding all others coarsely.
_SHRINKAGE = {4: (1.0, 0.95, 0.9, 0.85, 0.8, 0.75), 8: (1.0,)}


def blocks(weight: Tensor, dtype: torch.dtype, bits: int, size: int) -> Quantised:
    """(out, in) with a scale for each `size` weights of a row. data: whole numbers from -2**(bits-1), as int8, (out,
    blocks, size); scale: (out, blocks)."""
    rows, width = weight.shape
    split = weight.float().reshape(rows, width // size, size)
    top = 2 ** (bits - 1) - 1
    # The number of larger magnitude is the negative one: the sign of a scale puts it where the block's own peak is.
    peak = torch.where(split.amax(2) > -split.amin(2), split.amax(2), split.amin(2))  # (out, blocks)
    whole = -peak / (top + 1)
    smallest = _smallest(dtype)
    whole = torch.where(whole.abs() < smallest, torch.full_like(whole, smallest), whole)
    best = torch.full_like(peak, torch.inf)
    scale, data = whole, torch.zeros_like(split)
    for shrink in _SHRINKAGE[bits]:
        tried = (whole * shrink).to(dtype).float()
        numbers = (split / tried[..., None]).round().clamp(-top - 1, top)
        error = (numbers * tried[..., None] - split).square().sum(2)
        better = error < best
        best = torch.where(better, error, best)
        scale = torch.where(better, tried, scale)
        data = torch.where(better[..., None], numbers, data)
    return Quantised(data.to(torch.int8), scale, (data * scale[..., None]).reshape(weight.shape))


def stored(data: Tensor, bits: int, *, signed: bool) -> Tensor:
    """Whole numbers of 4 or 8 bits as bytes, two of 4 bits in one, the first in its low half. Unsigned ones count from
    the middle of their range."""
    shifted = data.int() if signed else data.int() + 2 ** (bits - 1)
    if bits == 8:
        return (shifted & 255).to(torch.uint8)
    low, high = shifted[..., 0::2] & 15, shifted[..., 1::2] & 15
    return (low | high << 4).to(torch.uint8)


def _held(scale: Tensor, dtype: torch.dtype) -> Tensor:
    """Scales as their type holds them, in float32: what numbers are divided by."""
    return scale.clamp_min(_smallest(dtype)).to(dtype).float()


def _smallest(dtype: torch.dtype) -> float:
    return TINY if dtype == torch.float32 else torch.finfo(dtype).tiny
