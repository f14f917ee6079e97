"""Feature-wise affine modulation by a conditioning vector."""

from __future__ import annotations

from torch import Tensor


def modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """x * (1 + scale) + shift, one vector per sample. Peebles & Xie 2023, arXiv:2212.09748, Sec. 3.2.

    x: (N, T, C); shift, scale: (N, C).
    """
    return x * (1 + scale[:, None]) + shift[:, None]


def modulate_channels(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """AdaGN's scale-shift: x * (1 + scale) + shift per channel. Dhariwal & Nichol 2021, arXiv:2105.05233, Eq. 3.

    x: (N, C, *sizes); shift, scale: (N, C).
    """
    ones = (1,) * (x.dim() - 2)
    shift, scale = (v.unflatten(-1, (-1, *ones)) for v in (shift, scale))  # type: ignore[no-untyped-call]  # (N, C, 1, 1)
    return x * (1 + scale) + shift
