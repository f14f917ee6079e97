"""The Gaussian error linear unit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from netspec.activations import Activation
from netspec.fields import Param
from netspec.tensors import TensorType

if TYPE_CHECKING:
    from torch import nn


class GELU(Activation, name="gelu"):
    """x * Phi(x), exact or by its tanh approximation. Hendrycks & Gimpel 2016, arXiv:1606.08415, Sec. 2."""

    example = "{type: gelu, approximate: tanh}"

    approximate: Annotated[
        Literal["erf", "tanh"],
        Param(
            "the exact error function, or the tanh formula", words={"erf": "exact", "tanh": "the approximation by tanh"}
        ),
    ] = "erf"

    def build(self, x: TensorType, out: TensorType) -> nn.Module:
        from torch import nn

        return nn.GELU(approximate="tanh" if self.approximate == "tanh" else "none")
