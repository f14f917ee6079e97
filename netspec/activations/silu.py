"""The sigmoid-weighted linear unit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netspec.activations import Activation
from netspec.tensors import TensorType

if TYPE_CHECKING:
    from torch import nn


class SiLU(Activation, name="silu"):
    """x * sigmoid(x). Elfwing et al. 2017, arXiv:1702.03118, Eq. 2; Ramachandran et al. 2017 call it swish."""

    example = "silu"

    def build(self, x: TensorType, out: TensorType) -> nn.Module:
        from torch import nn

        return nn.SiLU()
