"""Changes of resolution that have no parameters."""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from torch import Tensor


def upsample_nearest(x: Tensor, factor: int) -> Tensor:
    """Repeat every pixel `factor` times per axis. x: (N, C, *sizes)."""
    return F.interpolate(x, scale_factor=float(factor), mode="nearest")


def upsample_bilinear(x: Tensor, factor: int, align_corners: bool) -> Tensor:
    """Bilinear interpolation. x: (N, C, H, W) to (N, C, factor * H, factor * W)."""
    return F.interpolate(x, scale_factor=float(factor), mode="bilinear", align_corners=align_corners)


def resize_like(x: Tensor, like: Tensor, mode: Literal["nearest", "bilinear"]) -> Tensor:
    """`x` (N, C, h, w) at the height and width of `like` (N, *, H, W); bilinear between pixel centres."""
    size = like.shape[-2:]
    return F.interpolate(x, size=size, mode=mode, align_corners=False if mode == "bilinear" else None)


def blur(x: Tensor, kernel: Tensor, stride: int) -> Tensor:
    """Depthwise convolution with one fixed kernel after reflection padding. Zhang 2019, arXiv:1904.11486, Sec. 3.2.

    x: (N, C, H, W); kernel: (k, k), k odd; returns (N, C, H / stride, W / stride).
    """
    channels = x.shape[1]
    weight = kernel.to(x.dtype)[None, None].expand(channels, 1, -1, -1)  # (C, 1, k, k)
    pad = kernel.shape[0] // 2
    return F.conv2d(F.pad(x, (pad, pad, pad, pad), mode="reflect"), weight, stride=stride, groups=channels)


def crop_like(x: Tensor, like: Tensor) -> Tensor:
    """The centre of `x` at the spatial size of `like`; an odd pixel goes at the end. Both (N, *, H, W)."""
    top = (x.shape[-2] - like.shape[-2]) // 2
    left = (x.shape[-1] - like.shape[-1]) // 2
    return x[..., top : top + like.shape[-2], left : left + like.shape[-1]]


def pad_like(x: Tensor, like: Tensor) -> Tensor:
    """`x` with zeros around it at the spatial size of `like`; an odd pixel goes at the end. Both (N, *, H, W)."""
    height, width = like.shape[-2] - x.shape[-2], like.shape[-1] - x.shape[-1]
    return F.pad(x, (width // 2, width - width // 2, height // 2, height - height // 2))
