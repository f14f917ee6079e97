"""Normalisations: `norm: group`, `norm: {type: layer, eps: 1e-6}`."""

from __future__ import annotations

from netspec import tensors
from netspec.registry import Component
from netspec.tensors import TensorType


class Norm(Component, kind="norm", usual="group"):
    """Keeps the type of its input; images (N, C, *sizes) and tokens (N, T, C) are normalised over what each says."""

    trial = (tensors.image(tensors.fixed(2), 64, tensors.fixed(8), tensors.fixed(6)),)

    def infer(self, x: TensorType) -> TensorType:
        return x
