"""Sinusoidal timestep embedding."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Literal

from netspec import costs
from netspec.activations import Activation
from netspec.costs import Cost
from netspec.embeds import Embed
from netspec.fields import Param, choice
from netspec.problems import Problem
from netspec.tensors import TensorType

if TYPE_CHECKING:
    from torch import Tensor, nn

    from netspec.module import Parts


class Sinusoidal(Embed, name="sinusoidal"):
    """Sines and cosines of geometric frequencies, then linear, act, linear.

    Vaswani et al. 2017, arXiv:1706.03762, Sec. 3.5; Ho et al. 2020, arXiv:2006.11239, App. B.
    """

    example = "{embed: sinusoidal, dim: 128}"

    dim: Annotated[int, Param("number of sines and cosines", ge=2)]
    order: Annotated[
        Literal["cos_sin", "sin_cos"],
        Param("which half comes first", words={"cos_sin": "cosines, then sines", "sin_cos": "sines, then cosines"}),
    ] = "cos_sin"
    freq_shift: Annotated[
        float, Param("frequencies are max_period^(-i / (dim/2 - freq_shift)); DDPM has 1", ge=0, le=1)
    ] = 0.0
    max_period: Annotated[float, Param("longest wavelength over 2 pi", gt=1)] = 10000.0
    scale: Annotated[float, Param("factor of the timestep, for times in [0, 1]", gt=0)] = 1.0
    act: Annotated[Activation, Param("between the two linear layers")] = choice("silu")
    init_std: Annotated[
        float | None, Param("standard deviation of the initial weights; `none` keeps PyTorch's", gt=0)
    ] = None

    def check(self, x: TensorType, *, channels: int) -> Iterator[Problem]:
        if self.dim // 2 <= self.freq_shift:
            yield Problem(
                "NS308",
                f"with freq_shift {self.freq_shift:g}, {self.dim // 2} frequency has no place to end",
                field="dim",
                label="must be at least 4",
            )

    @property
    def natural_width(self) -> int | None:
        return 4 * self.dim

    @property
    def probes(self) -> tuple[float, ...]:
        return tuple(step / self.scale for step in (0.0, 1.0, 500.0, 999.0))

    def cost(self, x: TensorType, out: TensorType) -> Cost:
        count = x.batch.opt
        return costs.linear(self.dim, out.channels, count=count) + costs.linear(out.channels, out.channels, count=count)

    def build(self, x: TensorType, out: TensorType) -> nn.Module:
        from torch import nn

        from netspec.module import assemble, normal_linear

        return assemble(
            self,
            linear1=normal_linear(nn.Linear(self.dim, out.channels), self.init_std),
            act=self.act.build(out, out),
            linear2=normal_linear(nn.Linear(out.channels, out.channels), self.init_std),
        )

    def forward(self, m: Parts, t: Tensor) -> Tensor:
        from netspec import ops

        h = ops.timestep_embedding(
            t, m.linear1.weight, self.dim, self.order, self.max_period, self.freq_shift, self.scale
        )  # (N, dim)
        return m.linear2(m.act(m.linear1(h)))  # type: ignore[no-any-return]  # a module's call is untyped
