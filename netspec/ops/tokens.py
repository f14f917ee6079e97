"""Between images (N, C, H, W) and token sequences (N, T, C)."""

from __future__ import annotations

from typing import Literal

from torch import Tensor


def to_tokens(x: Tensor) -> Tensor:
    """(N, C, *sizes) to (N, T, C), T = the product of sizes, last axis fastest."""
    return x.flatten(2).transpose(1, 2)


def from_tokens(x: Tensor, like: Tensor) -> Tensor:
    """(N, T, C) to (N, C, *sizes of like)."""
    return x.transpose(1, 2).reshape(x.shape[0], x.shape[2], *like.shape[2:])


def unpatchify(x: Tensor, like: Tensor, patch_size: int) -> Tensor:
    """(N, T, p * p * C) to (N, C, H, W): each token is one p x p patch, its channels fastest.

    like: (N, *, H, W), the image that was cut into patches. Peebles & Xie 2023, arXiv:2212.09748, Sec. 3.2.
    """
    p = patch_size
    rows, columns = like.shape[2] // p, like.shape[3] // p
    x = x.reshape(x.shape[0], rows, columns, p, p, -1)  # (N, h, w, p, p, C)
    return x.permute(0, 5, 1, 3, 2, 4).reshape(x.shape[0], -1, rows * p, columns * p)


def keep_tokens(x: Tensor, like: Tensor) -> Tensor:
    """The first tokens of `x`, as many as `like` has: drops what was appended. x: (N, T + n, C); like: (N, T, *)."""
    return x[:, : like.shape[1]]


def skip_tokens(x: Tensor, like: Tensor) -> Tensor:
    """The tokens of `x` after the first ones, which are as many as `like` has. x: (N, n + T, C); like: (N, n, *)."""
    return x[:, like.shape[1] :]


def crop_positions(table: Tensor, like: Tensor, patch_size: int, crop: Literal["center", "corner"]) -> Tensor:
    """The part of a square position table that an image's patch grid covers.

    table: (1, grid, grid, C); like: (N, *, H, W); returns (1, T, C), T = H / patch_size * W / patch_size.
    """
    rows, columns = like.shape[2] // patch_size, like.shape[3] // patch_size
    top = (table.shape[1] - rows) // 2 if crop == "center" else 0
    left = (table.shape[2] - columns) // 2 if crop == "center" else 0
    return table[:, top : top + rows, left : left + columns].flatten(1, 2)
