"""Scaled dot-product attention over token sequences."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

HIDDEN = -10000.0  # added to the score of a hidden token: nothing is left of its share, and half precision can hold it


def attention(q: Tensor, k: Tensor, v: Tensor, heads: int, mask: Tensor | None = None) -> Tensor:
    """softmax(q kᵀ / sqrt(d)) v per head, d = D / heads. Vaswani et al. 2017, arXiv:1706.03762, Eq. 1.

    q: (N, T, D); k, v: (N, S, D); mask: (N, S), of any number type or boolean, 0 for the tokens of k and v that nobody
    sees; returns (N, T, D). Softmax accumulates in float32 for half precisions. A sample whose tokens are all hidden
    sees them all: its output stays finite.
    """
    q, k, v = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (q, k, v))  # type: ignore[no-untyped-call]  # (N, heads, T|S, d)
    bias = None if mask is None else (mask == 0)[:, None, None].to(q.dtype) * HIDDEN  # (N, 1, 1, S)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=bias).transpose(1, 2).flatten(2)
