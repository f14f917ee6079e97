"""Changes of resolution between levels: `downsample: conv`, `upsample: {type: conv_transpose, kernel: 2}`."""

from __future__ import annotations

from netspec import tensors
from netspec.registry import Component
from netspec.tensors import TensorType

_IMAGE = tensors.image(tensors.fixed(2), 32, tensors.fixed(8), tensors.fixed(12))
_VECTOR = tensors.vector(tensors.fixed(2), 24)


class Downsample(Component, kind="downsample", usual="conv"):
    """Halves the sizes of an image (N, C, H, W); the sizes must be even. forward(x, c): c where the family has one."""

    trial = (_IMAGE, _VECTOR)

    def infer(self, x: TensorType, c: TensorType | None = None, *, channels: int | None = None) -> TensorType:
        return x.wide(channels or x.channels).sized(size / 2 for size in x.sizes)


class Upsample(Component, kind="upsample", usual="nearest"):
    """Doubles the sizes of an image (N, C, H, W). forward(x, c): c where the family has one."""

    trial = (_IMAGE, _VECTOR)

    def infer(self, x: TensorType, c: TensorType | None = None, *, channels: int | None = None) -> TensorType:
        return x.wide(channels or x.channels).sized(size * 2 for size in x.sizes)
