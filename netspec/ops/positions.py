"""Sinusoidal codes of the places of a grid."""

from __future__ import annotations

import torch
from torch import Tensor


def sincos_positions(like: Tensor, span: float) -> Tensor:
    """The code of every place of a grid whose sides are `span` long, whatever the number of places.

    like: (N, C, rows, columns), only for its sizes; returns (1, rows * columns, C) in the dtype of `like`. Chen et al.
    2023, arXiv:2310.00426, Sec. 2.3.
    """
    rows, columns = (coordinates(count, count / span, like.device) for count in like.shape[2:])
    return sincos_table(rows, columns, like.shape[1]).flatten(0, 1)[None].to(like.dtype)


def coordinates(count: int, scale: float, device: torch.device | None = None) -> Tensor:
    """index / scale of `count` places, divided in float32, as for published tables: (count,)."""
    return torch.arange(count, dtype=torch.float32, device=device) / scale


def sincos_table(rows: Tensor, columns: Tensor, width: int) -> Tensor:
    """Half of the width codes the column, half the row, in float64: (rows, columns, width).

    Peebles & Xie 2023, arXiv:2212.09748, Sec. 3.2, after Vaswani et al. 2017, arXiv:1706.03762, Sec. 3.5.
    """
    row = waves(rows, width // 2)[:, None].expand(-1, columns.shape[0], -1)
    column = waves(columns, width // 2)[None].expand(rows.shape[0], -1, -1)
    return torch.cat([column, row], dim=-1)


def waves(place: Tensor, width: int) -> Tensor:
    """sin, then cos, of place / 10000^(2i / width), in float64: (T,) to (T, width)."""
    angles = place.double()[:, None] * wave_rates(width).to(place.device)
    return torch.cat([angles.sin(), angles.cos()], dim=-1)


def wave_rates(width: int) -> Tensor:
    """10000^(-2i / width) for i < width / 2, in float64."""
    return 10000 ** (-torch.arange(width // 2, dtype=torch.float64) / (width / 2))
