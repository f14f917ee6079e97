"""The rectified linear unit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netspec.activations import Activation
from netspec.tensors import TensorType

if TYPE_CHECKING:
    from torch import nn


class ReLU(Activation, name="relu"):
    """max(x, 0). Nair & Hinton 2010, ICML."""

    example = "relu"

    def build(self, x: TensorType, out: TensorType) -> nn.Module:
        from torch import nn

        return nn.ReLU()
