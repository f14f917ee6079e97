"""Numbers that each are embedded alone: height and width, an aspect ratio."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

from netspec import costs, tensors
from netspec.activations import Activation
from netspec.costs import Cost
from netspec.embeds import Embed
from netspec.fields import Param, choice
from netspec.problems import Problem
from netspec.tensors import TensorType

if TYPE_CHECKING:
    from torch import Tensor, nn

    from netspec.module import Parts


class Numbers(Embed, name="numbers"):
    """Each number of the inputs as sines and cosines, then linear, act, linear; the results side by side.

    Chen et al. 2023, arXiv:2310.00426, App. B (resolution and aspect ratio). The numbers of one input share the two
    linear layers; the width of the vector is shared out evenly among all numbers.
    """

    example = "{embed: numbers, dim: 256}"
    ranks = (2,)

    trial = (tensors.vector(tensors.fixed(2), 4),)

    of: Annotated[
        tuple[str, ...],
        Param("the inputs, [batch, count] each, in this order; by default its namesake", refers="input"),
    ] = ()
    dim: Annotated[int, Param("number of sines and cosines of each number, cosines first", ge=2)]
    act: Annotated[Activation, Param("between the two linear layers")] = choice("silu")
    init_std: Annotated[
        float | None, Param("standard deviation of the initial weights; `none` keeps PyTorch's", gt=0)
    ] = None

    def check(self, *inputs: TensorType, channels: int) -> Iterator[Problem]:
        count = _count(inputs)
        if channels % count:
            yield Problem(
                "NS308",
                f"a vector of {channels} cannot be shared out evenly among {count} numbers",
                label=f"{channels} / {count} = {channels / count:g}",
            )

    def infer(self, *inputs: TensorType, channels: int) -> TensorType:
        return tensors.vector(inputs[0].batch, channels)

    def cost(self, *inputs: TensorType, out: TensorType) -> Cost:
        total, width = Cost(), out.channels // _count(inputs)
        for x in inputs:
            times = x.channels * x.batch.opt
            total += costs.linear(self.dim, width, count=times) + costs.linear(width, width, count=times)
        return total

    def build(self, *inputs: TensorType, out: TensorType) -> nn.Module:
        from torch import nn

        from netspec.module import assemble, normal_linear

        width = out.channels // _count(inputs)
        mlps = [
            nn.ModuleDict(
                {
                    "linear1": normal_linear(nn.Linear(self.dim, width), self.init_std),
                    "act": self.act.build(out, out),
                    "linear2": normal_linear(nn.Linear(width, width), self.init_std),
                }
            )
            for _ in inputs
        ]
        return assemble(self, mlps=nn.ModuleList(mlps))

    def forward(self, m: Parts, *inputs: Tensor) -> Tensor:
        import torch

        from netspec import ops

        made = []
        for mlp, x in zip(m.mlps, inputs, strict=True):
            h = ops.timestep_embedding(x.flatten(), mlp.linear1.weight, self.dim, "cos_sin", 10000.0, 0.0, 1.0)
            made.append(mlp.linear2(mlp.act(mlp.linear1(h))).reshape(x.shape[0], -1))  # (N, count * width)
        return torch.cat(made, dim=-1)


def _count(inputs: tuple[TensorType, ...]) -> int:
    """How many numbers there are in all."""
    return sum(x.channels for x in inputs)
