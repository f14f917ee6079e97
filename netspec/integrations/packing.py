"""Latents as packed patches, for a network that takes the image itself.

FluxPipeline hands over patches of 2x2 as tokens of (channels, rows, columns), with the coordinates of each in
`img_ids` (pipeline_flux.py, `_pack_latents` and `_prepare_latent_image_ids`). A spec with a `patch_size` has both the
patches and their coordinates inside.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


def grid(ids: Tensor) -> tuple[int, int]:
    """Rows and columns of the patches whose coordinates these are, (tokens, axes), row and column last.

    Raises ValueError where they are not one full grid from 0, row by row, with zeros on every other axis.
    """
    ids = ids.reshape(-1, ids.shape[-1])
    rows, columns = (int(ids[:, axis].max()) + 1 for axis in (-2, -1))
    places = torch.cartesian_prod(torch.arange(rows), torch.arange(columns)).to(ids)  # (rows * columns, 2)
    if len(ids) != rows * columns or not torch.equal(ids[:, -2:], places) or bool(ids[:, :-2].any()):
        raise ValueError("the coordinates are not those of one grid of patches")
    return rows, columns


def unpacked(tokens: Tensor, size: tuple[int, int], channels: int) -> Tensor:
    """(N, rows * columns, channels * p * p) as the image (N, channels, rows * p, columns * p)."""
    patch = math.isqrt(tokens.shape[-1] // channels)
    sides = (size[0] * patch, size[1] * patch)
    return nn.functional.fold(tokens.transpose(1, 2), sides, kernel_size=patch, stride=patch)


def packed(image: Tensor, size: tuple[int, int]) -> Tensor:
    """The inverse: an image as the tokens of `size` patches."""
    patch = image.shape[-1] // size[1]
    return nn.functional.unfold(image, kernel_size=patch, stride=patch).transpose(1, 2)
