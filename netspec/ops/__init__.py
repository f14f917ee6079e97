"""Leaf operations with meaning: what symbolic tracing must keep whole so that every target can choose its own form.

A block's `forward` is plain PyTorch over three kinds of leaves: `torch.nn` modules, a short list of functional
calls (silu, add, cat, chunk …) and these. Each is a pure function of tensors, differentiable, valid under
`torch.compile` and `torch.export`, and has one lowering in `exporters/lowering/`.
"""

from netspec.ops.attention import attention
from netspec.ops.embedding import cast_like, fourier_embedding, timestep_embedding
from netspec.ops.modulate import modulate, modulate_channels
from netspec.ops.positions import sincos_positions
from netspec.ops.resample import blur, crop_like, pad_like, resize_like, upsample_bilinear, upsample_nearest
from netspec.ops.rotary import grid_positions, origin_positions, rotary_table, rotate
from netspec.ops.tokens import crop_positions, from_tokens, keep_tokens, skip_tokens, to_tokens, unpatchify

LEAVES = (
    attention,
    blur,
    cast_like,
    crop_like,
    crop_positions,
    fourier_embedding,
    from_tokens,
    grid_positions,
    keep_tokens,
    modulate,
    modulate_channels,
    origin_positions,
    pad_like,
    resize_like,
    rotary_table,
    rotate,
    sincos_positions,
    skip_tokens,
    timestep_embedding,
    to_tokens,
    unpatchify,
    upsample_bilinear,
    upsample_nearest,
)

__all__ = [
    "LEAVES",
    "attention",
    "blur",
    "cast_like",
    "crop_like",
    "crop_positions",
    "fourier_embedding",
    "from_tokens",
    "grid_positions",
    "keep_tokens",
    "modulate",
    "modulate_channels",
    "origin_positions",
    "pad_like",
    "resize_like",
    "rotary_table",
    "rotate",
    "sincos_positions",
    "skip_tokens",
    "timestep_embedding",
    "to_tokens",
    "unpatchify",
    "upsample_bilinear",
    "upsample_nearest",
]
