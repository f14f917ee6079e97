"""Rotary positions: where tokens stand, the table of their angles, and queries and keys turned by it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def grid_positions(like: Tensor, axes: int) -> Tensor:
    """The place of every patch of a grid: (N, T, axes), the grid's own axes last, zeros on those before them.

    like: (N, *, *sizes); T = the product of sizes, last axis fastest. In float32 (float64 where `like` is).
    """
    sides = [torch.arange(size, device=like.device, dtype=_exact(like)) for size in like.shape[2:]]
    grid = torch.stack(torch.meshgrid(*sides, indexing="ij"), dim=-1).flatten(0, -2)  # (T, len(sides))
    grid = torch.nn.functional.pad(grid, (axes - len(sides), 0))
    return grid.expand(like.shape[0], -1, -1)


def origin_positions(like: Tensor, axes: int) -> Tensor:
    """Zeros for the tokens `like` (N, T, *), all of which stand at one place: (N, T, axes)."""
    return torch.zeros(like.shape[0], like.shape[1], axes, device=like.device, dtype=_exact(like))


def rotary_frequencies(axes: Sequence[int], theta: float) -> tuple[Tensor, Tensor]:
    """(axis, theta^(-2i / axes[axis])) of every pair of channels, i < axes[axis] / 2, in float64: (D / 2,) each."""
    owner = torch.tensor([axis for axis, width in enumerate(axes) for _ in range(width // 2)])
    rates = [theta ** (-2 * i / width) for width in axes for i in range(width // 2)]
    return owner, torch.tensor(rates, dtype=torch.float64)


def rotary_table(positions: Tensor, like: Tensor, axes: Sequence[int], theta: float) -> Tensor:
    """cos, then sin, of the angle of every pair of a head's channels. Su et al. 2021, arXiv:2104.09864, Eq. 15.

    positions: (N, T, len(axes)), of which coordinate `a` turns `axes[a]` channels; returns (N, T, D), D = sum(axes).
    In float32 (float64 where `like` is): half precision cannot tell the places of a large image apart.
    """
    owner, rates = rotary_frequencies(axes, theta)
    exact = _exact(like)
    angles = positions.to(exact)[..., owner.to(positions.device)] * rates.to(positions.device, exact)  # (N, T, D / 2)
    return torch.cat([angles.cos(), angles.sin()], dim=-1)


def rotate(x: Tensor, table: Tensor, heads: int) -> Tensor:
    """Turn each pair of neighbouring channels of every head by its angle. Su et al. 2021, arXiv:2104.09864, Eq. 34.

    x: (N, T, heads * D); table: (N, T, D) of `rotary_table`. Computed in the table's precision at least.
    """
    cos, sin = table.unsqueeze(2).chunk(2, dim=-1)  # (N, T, 1, D / 2) each
    exact = torch.promote_types(x.dtype, table.dtype)
    even, odd = x.to(exact).unflatten(-1, (heads, -1, 2)).unbind(-1)  # type: ignore[no-untyped-call]  # (N, T, heads, D / 2)
    turned = torch.stack([even * cos - odd * sin, even * sin + odd * cos], dim=-1)
    return turned.flatten(2).to(x.dtype)


def _exact(like: Tensor) -> torch.dtype:
    return torch.float64 if like.dtype == torch.float64 else torch.float32
