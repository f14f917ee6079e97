"""Pointwise nonlinearities: `act: silu`, `act: {type: gelu, approximate: tanh}`."""

from __future__ import annotations

from netspec import tensors
from netspec.costs import Cost
from netspec.registry import Component
from netspec.tensors import TensorType


class Activation(Component, kind="activation", usual="silu"):
    """Applied to each number; keeps the type of its input and has no parameters."""

    trial = (tensors.image(tensors.fixed(2), 8, tensors.fixed(4), tensors.fixed(6)),)

    def infer(self, x: TensorType) -> TensorType:
        return x

    def cost(self, x: TensorType, out: TensorType) -> Cost:
        return Cost()
