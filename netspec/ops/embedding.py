"""Timesteps and noise levels as vectors."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

Order = Literal["sin_cos", "cos_sin"]


def cast_like(x: Tensor, like: Tensor) -> Tensor:
    """`x` in the dtype of `like`."""
    return x.to(like.dtype)


def timestep_frequencies(dim: int, max_period: float, freq_shift: float) -> Tensor:
    """max_period^(-i / (half - freq_shift)) for i < half = dim // 2, in float64: (half,)."""
    half = dim // 2
    return torch.exp(-math.log(max_period) / (half - freq_shift) * torch.arange(half, dtype=torch.float64))


def timestep_embedding(
    t: Tensor, like: Tensor, dim: int, order: Order, max_period: float, freq_shift: float, scale: float
) -> Tensor:
    """Sinusoidal features of `scale * t`, in the dtype of `like`. Ho et al. 2020, arXiv:2006.11239, App. B.

    t: (N,), any number type; returns (N, dim), the last column zero where dim is odd. The angles are computed in
    float32 (float64 where `like` is): half precision cannot hold a timestep of 999 to better than 0.5.
    """
    exact = torch.float64 if like.dtype == torch.float64 else torch.float32
    frequencies = timestep_frequencies(dim, max_period, freq_shift).to(device=t.device, dtype=exact)
    angles = (scale * t.to(exact))[:, None] * frequencies  # (N, dim // 2)
    sin, cos = torch.sin(angles), torch.cos(angles)
    features = torch.cat([sin, cos] if order == "sin_cos" else [cos, sin], dim=-1)
    if dim % 2:
        features = torch.nn.functional.pad(features, (0, 1))
    return features.to(like.dtype)


def fourier_embedding(t: Tensor, frequencies: Tensor, order: Order, like: Tensor) -> Tensor:
    """Random Fourier features of a noise level, in the dtype of `like`. Song et al. 2021, arXiv:2011.13456, App. C.

    t: (N,); frequencies: (dim // 2,), cycles per unit of t; returns (N, dim).
    """
    exact = torch.float64 if like.dtype == torch.float64 else torch.float32
    angles = (2 * math.pi) * t.to(exact)[:, None] * frequencies.to(exact)  # (N, dim // 2)
    sin, cos = torch.sin(angles), torch.cos(angles)
    return torch.cat([sin, cos] if order == "sin_cos" else [cos, sin], dim=-1).to(like.dtype)
