"""Rotary positions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from netspec.fields import Param
from netspec.positions import Bare
from netspec.problems import Problem
from netspec.tensors import TensorType


class Rope(Bare, name="rope"):
    """Every block turns the channels of its queries and keys, in pairs of neighbours, by angles that grow with place.

    Su et al. 2021, arXiv:2104.09864, Sec. 3.2.2, with channels of their own for each coordinate. A patch stands at
    (row, column), with zeros before those where there are more axes; tokens of a context without `ids` stand at zero.
    """

    example = "{type: rope, axes: [16, 24, 24]}"

    axes: Annotated[
        tuple[int, ...],
        Param("channels of each head that a coordinate turns, coordinate by coordinate", ge=2, multiple_of=2),
    ]
    theta: Annotated[float, Param("longest wavelength over 2 pi, in places", gt=1)] = 10000.0
    ids: Annotated[
        str | None,
        Param(
            "the input that holds the coordinates of the image's tokens, [batch, tokens, axes]; by default they are "
            "those of the patch grid",
            refers="input",
            dtype="float32",
        ),
    ] = None

    def check(self, x: TensorType, channels: int | None = None) -> Iterator[Problem]:
        if self.ids is None and len(self.axes) < len(x.sizes):
            yield Problem(
                "NS308",
                f"a patch has {len(x.sizes)} coordinates, rotary positions have {len(self.axes)}",
                field="axes",
                label="one number for each coordinate",
                help=("write `axes: [a, b]` for row and column",),
            )
