"""Scaled dot-product attention over token sequences."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def attention(q: Tensor, k: Tensor, v: Tensor, heads: int) -> Tensor:
    """softmax(q kᵀ / sqrt(d)) v per head, d = D / heads. Vaswani et al. 2017, arXiv:1706.03762, Eq. 1.

    q: (N, T, D); k, v: (N, S, D); returns (N, T, D). Softmax accumulates in float32 for half precisions.
    """
    q, k, v = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (q, k, v))  # type: ignore[no-untyped-call]  # (N, heads, T|S, d)
    return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
