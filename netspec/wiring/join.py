"""How tensors meet: skips joining the decoder, embeddings summed into one vector."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Literal

from netspec import tensors
from netspec.costs import Cost
from netspec.fields import Param
from netspec.problems import Problem
from netspec.tensors import TensorType
from netspec.wiring import Wiring

if TYPE_CHECKING:
    from torch import Tensor, nn

    from netspec.module import Parts

_HALF = tensors.image(tensors.fixed(2), 8, tensors.fixed(4), tensors.fixed(6))


class Join(Wiring):
    """Joins the decoder's image with a skip of the encoder."""

    crop: Annotated[Literal["none", "center"], Param("cut the skip's margins down to the decoder's size")] = "none"
    scale: Annotated[float, Param("factor of the skip", gt=0)] = 1.0

    trial = (_HALF, _HALF)

    def check(self, x: TensorType, skip: TensorType, channels: int | None = None) -> Iterator[Problem]:
        if self.crop == "none" and x.sizes != skip.sizes:
            yield Problem(
                "NS310",
                f"the skip is {_grid(skip)}, the decoder is {_grid(x)}",
                field="crop",
                label="sizes must be equal to join",
                subject=f"{_grid(skip)} and {_grid(x)}",
                help=("valid convolutions lose margins: write `crop: center`, or use `padding: same`",),
            )

    def cost(self, x: TensorType, skip: TensorType, out: TensorType) -> Cost:
        return Cost()

    def build(self, x: TensorType, skip: TensorType, out: TensorType) -> nn.Module:
        from netspec.module import assemble

        return assemble(self)

    def _skip(self, x: Tensor, skip: Tensor) -> Tensor:
        from netspec import ops

        if self.crop == "center":
            skip = ops.crop_like(skip, x)
        return skip if self.scale == 1 else skip * self.scale


class Concat(Join, name="concat"):
    """Channels of the decoder, then channels of the skip. Ronneberger et al. 2015, arXiv:1505.04597, Fig. 1."""

    order: Annotated[Literal["decoder_first", "skip_first"], Param("whose channels come first")] = "decoder_first"

    def infer(self, x: TensorType, skip: TensorType) -> TensorType:
        return x.wide(x.channels + skip.channels)

    def forward(self, m: Parts, x: Tensor, skip: Tensor) -> Tensor:
        import torch

        skip = self._skip(x, skip)  # (N, C_skip, H, W)
        return torch.cat([skip, x] if self.order == "skip_first" else [x, skip], dim=1)


class Add(Join, name="add"):
    """The sum of both, which must be of one width. Milletari et al. 2016, arXiv:1606.04797 (residual V-Net)."""

    def check(self, x: TensorType, skip: TensorType, channels: int | None = None) -> Iterator[Problem]:
        yield from super().check(x, skip)
        if x.channels != skip.channels:
            yield Problem(
                "NS310",
                f"cannot add a skip of {skip.channels} channels to {x.channels}",
                field="merge",
                label="widths must be equal to add",
                subject=f"{skip.channels} to {x.channels}",
                help=("use `{per: level, merge: add}` with `narrow: upsample`, or `merge: concat`",),
            )

    def infer(self, x: TensorType, skip: TensorType) -> TensorType:
        return x

    def forward(self, m: Parts, x: Tensor, skip: Tensor) -> Tensor:
        return x + self._skip(x, skip)


class Sum(Wiring, name="sum"):
    """The sum of equally wide vectors: time, class and pooled text as one. Dhariwal & Nichol 2021, arXiv:2105.05233."""

    trial = (tensors.vector(tensors.fixed(2), 8),) * 3

    def infer(self, *inputs: TensorType) -> TensorType:
        return inputs[0]

    def cost(self, *inputs: TensorType, out: TensorType) -> Cost:
        return Cost()

    def build(self, *inputs: TensorType, out: TensorType) -> nn.Module:
        from netspec.module import assemble

        return assemble(self)

    def forward(self, m: Parts, *inputs: Tensor) -> Tensor:
        total, *rest = inputs
        for vector in rest:
            total = total + vector
        return total


def _grid(x: TensorType) -> str:
    return "x".join(str(size.values[1]) for size in x.sizes)
