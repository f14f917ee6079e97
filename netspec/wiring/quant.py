"""The convolution between a latent and the network that makes or reads it."""

from __future__ import annotations

from typing import Annotated

from netspec.fields import Param
from netspec.wiring.stem import StemConv


class QuantConv(StemConv, name="quant"):
    """From the width at which a half ends to that of the latent, or back. Esser et al. 2021, arXiv:2012.09841."""

    kernel: Annotated[int, Param("kernel, odd", ge=1)] = 1
