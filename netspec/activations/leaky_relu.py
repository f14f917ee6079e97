"""The leaky rectified linear unit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from netspec.activations import Activation
from netspec.fields import Param
from netspec.tensors import TensorType

if TYPE_CHECKING:
    from torch import nn


class LeakyReLU(Activation, name="leaky_relu"):
    """x where positive, slope * x elsewhere. Maas et al. 2013, ICML workshop."""

    example = "{type: leaky_relu, slope: 0.2}"

    slope: Annotated[float, Param("slope below zero", ge=0)] = 0.01

    def build(self, x: TensorType, out: TensorType) -> nn.Module:
        from torch import nn

        return nn.LeakyReLU(self.slope)
