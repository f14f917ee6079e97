"""Channel attention inside a block: `gate: squeeze_excitation`, `gate: {type: squeeze_excitation, reduction: 4}`."""

from __future__ import annotations

from netspec import tensors
from netspec.registry import Component
from netspec.tensors import TensorType


class Gate(Component, kind="gate", usual="squeeze_excitation"):
    """Weighs the channels of an image by what the whole image holds. forward(x): x (N, C, H, W), which it keeps."""

    trial = (tensors.image(tensors.fixed(2), 32, tensors.fixed(8), tensors.fixed(6)),)

    def infer(self, x: TensorType) -> TensorType:
        return x
