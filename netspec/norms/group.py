"""Group normalisation."""

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


class GroupNorm(Norm, name="group"):
    """Mean and variance over each group of channels and all positions. Wu & He 2018, arXiv:1803.08494, Eq. 7."""

    example = "{type: group, groups: 8, eps: 1e-6}"

    groups: Annotated[int, Param("groups that the channels are split into", ge=1)] = 32
    eps: Annotated[float, Param("added to the variance before the root", ge=0)] = 1e-5
    affine: Annotated[bool, Param("learn a gain and a bias per channel")] = True

    def check(self, x: TensorType, channels: int | None = None) -> Iterator[Problem]:
        if x.layout != "image":
            yield Problem(
                "NS307",
                "group norm needs an image, here it gets tokens",
                label="normalises over positions",
                help=("use `layer` or `rms` on tokens",),
            )
        elif x.channels % self.groups:
            yield Problem(
                "NS303",
                f"{x.channels} channels do not split into {self.groups} groups",
                field="groups",
                label=f"{x.channels} / {self.groups} = {x.channels / self.groups:g}",
                subject=str(x.channels),
                fits=frozenset(n for n in range(1, min(x.channels, 1024) + 1) if x.channels % n == 0),
            )
        elif x.channels == self.groups and all(size.at("min") == 1 for size in x.sizes):
            yield Problem(
                "NS308",
                "group norm of one pixel in groups of one channel is always zero: the image is 1x1 here",
                field="groups",
                label="needs more than one number per group",
                help=("use fewer groups, fewer levels or a larger image",),
            )

    def cost(self, x: TensorType, out: TensorType) -> Cost:
        return costs.affine(x.channels) if self.affine else Cost()

    def build(self, x: TensorType, out: TensorType) -> nn.Module:
        from torch import nn

        return nn.GroupNorm(self.groups, x.channels, eps=self.eps, affine=self.affine)
