"""Several images as one: a low-resolution image brought to size, images side by side in their channels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Literal

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

    mode: Annotated[Literal["nearest", "bilinear"], Param("how pixels between pixels are found")] = "bilinear"

    trial = (tensors.image(tensors.fixed(2), 3, tensors.fixed(4), tensors.fixed(3)), _IMAGE)

    def infer(self, x: TensorType, like: TensorType) -> TensorType:
        return x.sized(like.sizes)

    def forward(self, m: Parts, x: Tensor, like: Tensor) -> Tensor:
        from netspec import ops

        return ops.resize_like(x, like, self.mode)


class JoinImages(Plumbing, name="join_images"):
    """Images side by side in their channels, the first one's first. Saharia et al. 2021, arXiv:2104.07636, Sec. 2.2."""

    trial = (_IMAGE, _IMAGE.wide(1))

    def check(self, *inputs: TensorType, channels: int | None = None) -> Iterator[Problem]:
        first, *rest = inputs
        for other in rest:
            if other.sizes != first.sizes:
                yield Problem(
                    "NS310",
                    f"images of {_grid(first)} and {_grid(other)} cannot be joined",
                    label="sizes must be equal to join",
                    help=("write `{input: …, resize: bilinear}` for the one that is brought to the first one's size",),
                )

    def infer(self, *inputs: TensorType) -> TensorType:
        return inputs[0].wide(sum(image.channels for image in inputs))

    def forward(self, m: Parts, *inputs: Tensor) -> Tensor:
        import torch

        return torch.cat(inputs, dim=1)


def _grid(x: TensorType) -> str:
    return "x".join(str(size) for size in x.sizes)
