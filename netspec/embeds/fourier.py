"""Random Fourier features of a noise level."""

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


class Fourier(Embed, name="fourier"):
    """Sines and cosines of fixed random frequencies, then linear, act, linear; feed it log sigma.

    Song et al. 2021, arXiv:2011.13456, App. C; Tancik et al. 2020, arXiv:2006.10739, Eq. 5.
    """

    example = "{embed: fourier, dim: 256, scale: 16}"
    exact = ("frequencies",)

    dim: Annotated[int, Param("number of sines and cosines, even", ge=2)]
    scale: Annotated[float, Param("standard deviation of the frequencies", gt=0)] = 16.0
    order: Annotated[
        Literal["cos_sin", "sin_cos"],
        Param("which half comes first", words={"cos_sin": "cosines, then sines", "sin_cos": "sines, then cosines"}),
    ] = "sin_cos"
    act: Annotated[Activation, Param("between the two linear layers")] = choice("silu")

    @property
    def natural_width(self) -> int | None:
        return 4 * self.dim

    def check(self, x: TensorType, *, channels: int) -> Iterator[Problem]:
        if self.dim % 2:
            yield Problem(
                "NS308",
                f"fourier features come in pairs, dim is {self.dim}",
                field="dim",
                label="must be even",
                help=(f"write {self.dim - 1} or {self.dim + 1}",),
            )

    @property
    def probes(self) -> tuple[float, ...]:
        return (-4.0, 0.0, 4.0)  # log sigma

    def cost(self, x: TensorType, out: TensorType) -> Cost:
        count = x.batch.opt
        total = costs.linear(self.dim, out.channels, count=count)
        return total + costs.linear(out.channels, out.channels, count=count) + Cost(frozen=self.dim // 2)

    def build(self, x: TensorType, out: TensorType) -> nn.Module:
        import torch
        from torch import nn

        from netspec.module import assemble

        return assemble(
            self,
            frequencies=torch.randn(self.dim // 2) * self.scale,
            linear1=nn.Linear(self.dim, out.channels),
            act=self.act.build(out, out),
            linear2=nn.Linear(out.channels, out.channels),
        )

    def forward(self, m: Parts, t: Tensor) -> Tensor:
        from netspec import ops

        h = ops.fourier_embedding(t, m.frequencies, self.order, m.linear1.weight)  # (N, dim)
        return m.linear2(m.act(m.linear1(h)))  # type: ignore[no-any-return]  # a module's call is untyped
