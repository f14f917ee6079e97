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
    pad: Annotated[Literal["none", "center"], Param("give the decoder zeros around it up to the skip's size")] = "none"
    scale: Annotated[float, Param("factor of the skip", gt=0)] = 1.0

    trial = (_HALF, _HALF)

    def check(self, x: TensorType, skip: TensorType, channels: int | None = None) -> Iterator[Problem]:
        if self.crop != "none" and self.pad != "none":
            yield Problem(
                "NS310",
                "a skip is cut to the decoder's size, or the decoder is padded to the skip's",
                field="pad",
                label="not both",
                help=("write `crop: center` or `pad: center`",),
            )
        if self.crop == self.pad == "none" and x.sizes != skip.sizes:
            larger, smaller = _grids(skip, x)
            yield Problem(
                "NS310",
                f"the skip is {larger}, the decoder is {smaller}",
                field="crop",
                label="sizes must be equal to join",
                subject=f"{larger} and {smaller}",
                help=(
                    "valid convolutions lose margins: write `crop: center`, or use `padding: same`",
                    "odd sizes that are rounded down lose a row: write `pad: center`",
                ),
            )

    def cost(self, x: TensorType, skip: TensorType, out: TensorType) -> Cost:
        return Cost()

    def build(self, x: TensorType, skip: TensorType, out: TensorType) -> nn.Module:
        from netspec.module import assemble

        return assemble(self)

    def _joined(self, x: TensorType, skip: TensorType) -> TensorType:
        """The decoder at the size at which both meet."""
        return x.sized(skip.sizes) if self.pad == "center" else x

    def _meet(self, x: Tensor, skip: Tensor) -> tuple[Tensor, Tensor]:
        """Decoder and skip at one size, the skip scaled."""
        from netspec import ops

        if self.crop == "center":
            skip = ops.crop_like(skip, x)
        if self.pad == "center":
            x = ops.pad_like(x, skip)
        return x, skip if self.scale == 1 else skip * self.scale


class Concat(Join, name="concat"):
    """Channels of the decoder, then channels of the skip. Ronneberger et al. 2015, arXiv:1505.04597, Fig. 1."""

    order: Annotated[Literal["decoder_first", "skip_first"], Param("whose channels come first")] = "decoder_first"

    def infer(self, x: TensorType, skip: TensorType) -> TensorType:
        return self._joined(x, skip).wide(x.channels + skip.channels)

    def forward(self, m: Parts, x: Tensor, skip: Tensor) -> Tensor:
        import torch

        x, skip = self._meet(x, skip)  # (N, C, H, W), (N, C_skip, H, W)
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
        return self._joined(x, skip)

    def forward(self, m: Parts, x: Tensor, skip: Tensor) -> Tensor:
        x, skip = self._meet(x, skip)
        return x + skip


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


def _grids(a: TensorType, b: TensorType) -> tuple[str, str]:
    """Both sizes at `opt`; where those are equal, and others of the range are not, as expressions."""
    first, second = ("x".join(str(size.values[1]) for size in each.sizes) for each in (a, b))
    if first != second:
        return first, second
    return " x ".join(map(str, a.sizes)), " x ".join(map(str, b.sizes))
