"""Changes of resolution between levels: `downsample: conv`, `upsample: {type: conv_transpose, kernel: 2}`."""

from __future__ import annotations

from typing import Annotated, Literal

from netspec import tensors
from netspec.costs import Cost
from netspec.fields import Param
from netspec.registry import Component
from netspec.tensors import TensorType

_IMAGE = tensors.image(tensors.fixed(2), 32, tensors.fixed(8), tensors.fixed(12))
_VECTOR = tensors.vector(tensors.fixed(2), 24)


class Downsample(Component, kind="downsample", usual="conv"):
    """Halves the sizes of an image (N, C, H, W); the sizes must be even. forward(x, c): c where the family has one."""

    trial = (_IMAGE, _VECTOR)

    def infer(self, x: TensorType, c: TensorType | None = None, *, channels: int | None = None) -> TensorType:
        return x.wide(channels or x.channels).sized(size / 2 for size in x.sizes)


class Pool(Downsample):
    """A downsampling without parameters that looks at one 2x2 window at a time.

    With `odd: floor` the last row or column of an odd size is in no window: 33 becomes 16, which upsampling doubles to
    32. So the choice stands with the pooling that loses the row, and the skip says who makes up for it: `pad` gives the
    decoder the margin back (a network without such a skip fails at the join, NS310). It is said, not implied: a size
    that does not divide is a mistake far more often than a wish, and stays one (NS301) until the spec allows it.
    """

    odd: Annotated[
        Literal["refuse", "floor"],
        Param(
            "odd sizes: refused, or halved and rounded down, without the last row",
            words={
                "refuse": "an odd size is an error",
                "floor": "33 becomes 16: the last row and column are in no window",
            },
        ),
    ] = "refuse"

    def infer(self, x: TensorType, c: TensorType | None = None, *, channels: int | None = None) -> TensorType:
        return x.sized(size // 2 if self.odd == "floor" else size / 2 for size in x.sizes)

    def cost(self, x: TensorType, c: TensorType | None = None, *, out: TensorType) -> Cost:
        return Cost()


class Upsample(Component, kind="upsample", usual="nearest"):
    """Doubles the sizes of an image (N, C, H, W). forward(x, c): c where the family has one."""

    trial = (_IMAGE, _VECTOR)

    def infer(self, x: TensorType, c: TensorType | None = None, *, channels: int | None = None) -> TensorType:
        return x.wide(channels or x.channels).sized(size * 2 for size in x.sizes)
