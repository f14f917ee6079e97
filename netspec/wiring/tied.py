"""Convolutions of a decoder that use a weight of the encoder, with in and out exchanged."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Literal

from netspec import costs, tensors
from netspec.blocks.conv import Conv
from netspec.costs import Cost
from netspec.fields import Param, settings
from netspec.problems import Problem
from netspec.resample.up_conv_transpose import TransposedConv
from netspec.tensors import TensorType
from netspec.wiring import Wiring

if TYPE_CHECKING:
    from torch import Tensor, nn

    from netspec.module import Part, Parts

Mode = Literal["transposed", "soft"]

_IMAGE = tensors.image(tensors.fixed(2), 32, tensors.fixed(8), tensors.fixed(6))


class Tied(Wiring):
    """A convolution whose weight belongs to another node: y = Wᵀ x where that node computes W x.

    The transpose of a convolution is the transposed convolution with the same weight (out, in, *kernel). `soft` mixes
    it with a weight of the node's own, W' = (1 - s) V + s Wᵀ, where s is the sigmoid of one learned number: it stays
    between both whatever training does, and starts in the middle.
    """

    mode: Annotated[Mode, Param("the other node's weight alone, or a learned mix of it and a free one")] = "transposed"

    @property
    @abstractmethod
    def kernel(self) -> int:
        """Of the shared weight."""

    def _own(self, x: TensorType, out: TensorType, bias: bool) -> dict[str, Part]:
        """The parameters that are not shared, as PyTorch initialises them."""
        import torch
        from torch import nn

        free = nn.ConvTranspose2d(x.channels, out.channels, self.kernel, bias=bias)
        parts: dict[str, Part] = {"bias": free.bias} if free.bias is not None else {}
        if self.mode == "soft":
            parts |= {"weight": free.weight, "mix": nn.Parameter(torch.zeros(1))}
        return parts

    def _weight(self, m: Parts, shared: Tensor) -> Tensor:
        """What the node convolves with. (in, out, *kernel)"""
        import torch

        if self.mode == "transposed":
            return shared
        return m.weight + torch.sigmoid(m.mix) * (shared - m.weight)  # type: ignore[no-any-return]  # parts are untyped

    def _shared(self, whole: Cost, weight: TensorType) -> Cost:
        """The cost of an untied node without the weight that another one owns."""
        own = 1 if self.mode == "soft" else -weight.elements
        return whole + Cost(params=own)


class TiedConv(Tied, name="tied_conv"):
    """A `conv` block with the transpose of another block's weight. Masci et al. 2011,
    doi:10.1007/978-3-642-21735-7_7, Sec. 3 (convolutional auto-encoders: the weight, flipped over both axes).
    """

    block: Annotated[Conv, Param("the block that it stands for")] = settings()

    trial = (_IMAGE, tensors.weight(32, 64, 3, 3))
    trial_channels = 64

    @property
    def kernel(self) -> int:
        return self.block.kernel

    def check(
        self, x: TensorType, weight: TensorType, c: TensorType | None = None, *, channels: int
    ) -> Iterator[Problem]:
        yield from self.block.check(x, c, channels=channels)

    def infer(self, x: TensorType, weight: TensorType, c: TensorType | None = None, *, channels: int) -> TensorType:
        return self.block.infer(x, c, channels=channels)

    def cost(self, x: TensorType, weight: TensorType, c: TensorType | None = None, *, out: TensorType) -> Cost:
        cut = costs.applied(x) - costs.applied(out)  # valid convolutions: the transpose runs over the larger image
        return self._shared(self.block.cost(x, c, out=out), weight) + Cost(macs=weight.elements * cut)

    def build(self, x: TensorType, weight: TensorType, c: TensorType | None = None, *, out: TensorType) -> nn.Module:
        from netspec.module import assemble

        return assemble(self, {**self._own(x, out, self.block.bias), **self.block.after(c, out)})

    def forward(self, m: Parts, x: Tensor, weight: Tensor, c: Tensor | None = None) -> Tensor:
        import torch.nn.functional as F

        bias = m.bias if self.block.bias else None
        pad = self.kernel - 1 - self.block.margin
        h = F.conv_transpose2d(x, self._weight(m, weight), bias, padding=pad)  # (N, C, H, W)
        return self.block.finish(m, h, c)


class TiedTransposedConv(Tied, name="tied_conv_transpose"):
    """A `conv_transpose` upsampling with the weight of the strided convolution that it undoes. Zeiler et al. 2010,
    doi:10.1109/CVPR.2010.5539957 (deconvolutional networks share one set of filters).
    """

    label = "tied transposed conv"

    upsample: Annotated[TransposedConv, Param("the upsampling that it stands for")] = settings()

    trial = (_IMAGE, tensors.weight(32, 32, 2, 2))

    @property
    def kernel(self) -> int:
        return self.upsample.kernel

    def check(self, x: TensorType, weight: TensorType, *, channels: int | None = None) -> Iterator[Problem]:
        yield from self.upsample.check(x, channels=channels)

    def infer(self, x: TensorType, weight: TensorType, *, channels: int | None = None) -> TensorType:
        return self.upsample.infer(x, channels=channels)

    def cost(self, x: TensorType, weight: TensorType, *, out: TensorType) -> Cost:
        return self._shared(self.upsample.cost(x, out=out), weight)

    def build(self, x: TensorType, weight: TensorType, *, out: TensorType) -> nn.Module:
        from netspec.module import assemble

        return assemble(self, self._own(x, out, bias=True))

    def forward(self, m: Parts, x: Tensor, weight: Tensor) -> Tensor:
        import torch.nn.functional as F

        up = self.upsample
        return F.conv_transpose2d(x, self._weight(m, weight), m.bias, up.stride, up.margin, up.extra)
