"""The angles of rotary positions, computed once for all blocks."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Literal

from netspec import tensors
from netspec.fields import Param
from netspec.tensors import TensorType
from netspec.wiring.token_join import Plumbing

if TYPE_CHECKING:
    from torch import Tensor

    from netspec.module import Parts

_TOKENS = tensors.tokens(tensors.fixed(2), tensors.fixed(12), 32)


class RotaryTable(Plumbing, name="rotary_table"):
    """Cosines and sines of every token's angles: (N, T, D), D the width of a head, in float32 at least.

    Su et al. 2021, arXiv:2104.09864, Eq. 15. forward(x, *places): x is the sequence; each of the places gives the
    coordinates of some of its tokens, in order, as `parts` says: the coordinates themselves (N, T, axes), an image's
    grid (N, *, rows, columns), or tokens that all stand at the origin.
    """

    label = "rotary positions"
    role = "position"

    axes: Annotated[tuple[int, ...], Param("channels that each coordinate turns", ge=2, multiple_of=2)] = (8, 12, 12)
    theta: Annotated[float, Param("longest wavelength over 2 pi, in places", gt=1)] = 10000.0
    parts: Annotated[
        tuple[Literal["ids", "grid", "origin"], ...], Param("what each of the inputs after the first is")
    ] = ("ids",)

    trial = (_TOKENS, _TOKENS.wide(3))

    def infer(self, x: TensorType, *places: TensorType) -> TensorType:
        return replace(x, channels=sum(self.axes), dtype="float32")

    def forward(self, m: Parts, x: Tensor, *places: Tensor) -> Tensor:
        import torch

        from netspec import ops

        count = len(self.axes)
        made = {"grid": ops.grid_positions, "origin": ops.origin_positions}
        positions = [
            made[part](place, count) if part in made else place for part, place in zip(self.parts, places, strict=True)
        ]  # (N, T, axes) each
        return ops.rotary_table(torch.cat(positions, dim=1), x, self.axes, self.theta)
