"""A residual block that doubles the size."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

from netspec.blocks.resnet import Resnet
from netspec.costs import Cost
from netspec.fields import Param, settings
from netspec.problems import Problem, within
from netspec.resample import Upsample
from netspec.tensors import TensorType

if TYPE_CHECKING:
    from torch import nn


class ResnetUp(Upsample, name="resnet"):
    """The level's residual block, which doubles pixels inside both of its branches.

    Brock et al. 2019, arXiv:1809.11096, App. B; Dhariwal & Nichol 2021, arXiv:2105.05233, Sec. 3.
    """

    label = "ResNet"

    example = "resnet"

    block: Annotated[Resnet, Param("the block", inherits="block")] = settings()

    def check(self, x: TensorType, c: TensorType | None = None, *, channels: int | None = None) -> Iterator[Problem]:
        yield from within("block", self.block.check(x, c, channels=channels or x.channels))

    def cost(self, x: TensorType, c: TensorType | None = None, *, out: TensorType) -> Cost:
        return self.block.cost(x, c, out=out)

    def build(self, x: TensorType, c: TensorType | None = None, *, out: TensorType) -> nn.Module:
        from netspec.module import Nearest

        return self.block.build(x, c, out=out, resample=Nearest())
