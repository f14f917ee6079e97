"""A learned vector per timestep."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from netspec import costs
from netspec.costs import Cost
from netspec.embeds import Embed
from netspec.fields import Param
from netspec.tensors import TensorType

if TYPE_CHECKING:
    from torch import Tensor, nn

    from netspec.module import Parts


class Learned(Embed, name="learned"):
    """One row of a table for each of a fixed number of steps. Gehring et al. 2017, arXiv:1705.03122, Sec. 3.1.

    Takes whole timesteps (int64); for continuous times use `sinusoidal` or `fourier`.
    """

    example = "{embed: learned, steps: 1000}"
    input_dtype = "int64"

    trial = (TensorType("index", Embed.trial[0].batch, dtype="int64"),)

    steps: Annotated[int, Param("number of timesteps, the rows of the table", ge=1)]
    init_std: Annotated[float, Param("standard deviation of the initial rows", gt=0)] = 1.0

    @property
    def probes(self) -> tuple[float, ...]:
        return (0, self.steps // 2, self.steps - 1)

    def cost(self, x: TensorType, out: TensorType) -> Cost:
        return costs.embedding(self.steps, out.channels)

    def build(self, x: TensorType, out: TensorType) -> nn.Module:
        from netspec.module import assemble, normal_table

        return assemble(self, table=normal_table(self.steps, out.channels, self.init_std))

    def forward(self, m: Parts, t: Tensor) -> Tensor:
        return m.table(t)  # type: ignore[no-any-return]  # a module's call is untyped
