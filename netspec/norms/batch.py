"""Batch normalisation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

from netspec import costs
from netspec.costs import Cost
from netspec.fields import Param
from netspec.norms import Norm
from netspec.problems import Problem
from netspec.tensors import TensorType

if TYPE_CHECKING:
    from torch import nn


class BatchNorm(Norm, name="batch"):
    """Mean and variance over the batch and all positions, running averages at inference.

    Ioffe & Szegedy 2015, arXiv:1502.03167, Alg. 1 and 2. The running averages are frozen numbers.
    """

    example = "batch"

    eps: Annotated[float, Param("added to the variance before the root", ge=0)] = 1e-5
    momentum: Annotated[float, Param("share of the newest batch in the running averages", ge=0, le=1)] = 0.1

    def check(self, x: TensorType, channels: int | None = None) -> Iterator[Problem]:
        if x.layout != "image":
            yield Problem(
                "NS307", "batch norm needs an image, here it gets tokens", help=("use `layer` or `rms` on tokens",)
            )

    def cost(self, x: TensorType, out: TensorType) -> Cost:
        return costs.affine(x.channels) + Cost(frozen=2 * x.channels + 1)  # mean, variance, batches seen

    def build(self, x: TensorType, out: TensorType) -> nn.Module:
        from torch import nn

        return nn.BatchNorm2d(x.channels, eps=self.eps, momentum=self.momentum)
