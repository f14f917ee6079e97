"""Several images as one: a low-resolution image brought to size, images side by side in their channels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from netspec import tensors
from netspec.fields import Param
from netspec.problems import Problem
from netspec.tensors import TensorType
from netspec.wiring.token_join import Plumbing

if TYPE_CHECKING:
    from torch import Tensor

    from netspec.module import Parts

_IMAGE = tensors.image(tensors.fixed(2), 3, tensors.fixed(8), tensors.fixed(6))


class Resize(Plumbing, name="resize"):
    """An image at the height and width of another. Nichol & Dhariwal 2021, arXiv:2102.09672 (upsampling).

    forward(x, like): pixel centres are aligned, corners are not.
    """

    measured = (1,)

    mode: Annotated[Literal["nearest", "bilinear"], Param("how pixels between pixels are found")] = "bilinear"

    trial = (tensors.image(tensors.fixed(2), 3, tensors.fixed(4), tensors.fixed(3)), _IMAGE)

    def check(self, x: TensorType, like: TensorType, channels: int | None = None) -> Iterator[Problem]:
        if x.layout != "image":
            yield Problem(
                "NS318",
                "a token sequence has no height and width to bring to size",
                label="resized",
                help=("take `resize` out: sequences of equal length are joined token by token",),
            )

    def infer(self, x: TensorType, like: TensorType) -> TensorType:
        return x.sized(like.sizes)

    def forward(self, m: Parts, x: Tensor, like: Tensor) -> Tensor:
        from netspec import ops

        return ops.resize_like(x, like, self.mode)


class SideBySide(Plumbing):
    """Inputs of the same sizes joined along their channels, the first one's first."""

    axis: ClassVar[int]
    what: ClassVar[str]
    help: ClassVar[tuple[str, ...]] = ()

    def check(self, *inputs: TensorType, channels: int | None = None) -> Iterator[Problem]:
        first, *rest = inputs
        for other in rest:
            if other.sizes != first.sizes:
                message = f"{self.what} {_grid(first)} and {_grid(other)} cannot be joined"
                yield Problem("NS310", message, label="sizes must be equal to join", help=self.help)

    def infer(self, *inputs: TensorType) -> TensorType:
        return inputs[0].wide(sum(each.channels for each in inputs))

    def forward(self, m: Parts, *inputs: Tensor) -> Tensor:
        import torch

        return torch.cat(inputs, dim=self.axis)


class JoinImages(SideBySide, name="join_images"):
    """Images (N, C, H, W) side by side in their channels. Saharia et al. 2021, arXiv:2104.07636, Sec. 2.2."""

    axis = 1
    what = "images of"
    help = ("write `{input: …, resize: bilinear}` for the one that is brought to the first one's size",)

    trial = (_IMAGE, _IMAGE.wide(1))


class JoinTokens(SideBySide, name="join_tokens"):
    """Sequences (N, T, C) of one length, token by token. Rombach et al. 2022, arXiv:2112.10752, Sec. 3.3."""

    axis = -1
    what = "sequences of lengths"

    trial = (
        tensors.tokens(tensors.fixed(2), tensors.fixed(6), 16),
        tensors.tokens(tensors.fixed(2), tensors.fixed(6), 8),
    )


def _grid(x: TensorType) -> str:
    return "x".join(str(size) for size in x.sizes)
