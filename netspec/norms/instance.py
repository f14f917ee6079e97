"""Instance normalisation."""

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


class InstanceNorm(Norm, name="instance"):
    """Mean and variance over the positions of each channel of each sample. Ulyanov et al. 2016, arXiv:1607.08022."""

    example = "{type: instance, affine: true}"

    eps: Annotated[float, Param("added to the variance before the root", ge=0)] = 1e-5
    affine: Annotated[bool, Param("learn a gain and a bias per channel")] = False

    def check(self, x: TensorType, channels: int | None = None) -> Iterator[Problem]:
        if x.layout == "image" and all(size.at("min") == 1 for size in x.sizes):
            yield Problem(
                "NS308",
                "instance norm of one pixel is always zero: the image is 1x1 here",
                label="needs more than one pixel",
                help=("use fewer levels or a larger image, or another norm",),
            )
        if x.layout != "image":
            yield Problem(
                "NS307", "instance norm needs an image, here it gets tokens", help=("use `layer` or `rms` on tokens",)
            )

    def cost(self, x: TensorType, out: TensorType) -> Cost:
        return costs.affine(x.channels) if self.affine else Cost()

    def build(self, x: TensorType, out: TensorType) -> nn.Module:
        from torch import nn

        return nn.InstanceNorm2d(x.channels, eps=self.eps, affine=self.affine)
