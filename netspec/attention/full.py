"""Self-attention over all positions of an image."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

from netspec import costs
from netspec.attention import Attention
from netspec.costs import Cost
from netspec.fields import Param, choice
from netspec.norms import Norm
from netspec.problems import Problem, within
from netspec.tensors import TensorType

if TYPE_CHECKING:
    from torch import Tensor, nn

    from netspec.module import Parts


class FullAttention(Attention, name="full"):
    """norm, softmax attention over H x W positions, projection, residual. Ho et al. 2020, arXiv:2006.11239, App. B.

    Cost grows with the square of the number of positions: for 64x64 and less.
    """

    label = "Attention"

    example = "{type: full, head_dim: 64}"

    norm: Annotated[Norm, Param("before the projections to q, k and v")] = choice("group")
    qkv_bias: Annotated[bool, Param("learn biases of the projections to q, k and v")] = True
    out_bias: Annotated[bool, Param("learn a bias of the output projection")] = True
    zero_init: Annotated[bool, Param("start the output projection at zero")] = True

    def check(self, x: TensorType, channels: int | None = None) -> Iterator[Problem]:
        yield from self.check_heads(x.channels)
        yield from within("norm", self.norm.check(x))

    def cost(self, x: TensorType, out: TensorType) -> Cost:
        width, count = self.width(x.channels), costs.applied(x)
        return (
            self.norm.cost(x, x)
            + costs.linear(x.channels, width, count=count, bias=self.qkv_bias) * 3
            + costs.attention(x.positions, x.positions, width, batch=x.batch.opt)
            + costs.linear(width, x.channels, count=count, bias=self.out_bias)
        )

    def build(self, x: TensorType, out: TensorType) -> nn.Module:
        from torch import nn

        from netspec.module import assemble, zeroed

        width = self.width(x.channels)
        return assemble(
            self,
            norm=self.norm.build(x, x),
            q=nn.Linear(x.channels, width, bias=self.qkv_bias),
            k=nn.Linear(x.channels, width, bias=self.qkv_bias),
            v=nn.Linear(x.channels, width, bias=self.qkv_bias),
            out=zeroed(nn.Linear(width, x.channels, bias=self.out_bias), self.zero_init),
        )

    def forward(self, m: Parts, x: Tensor) -> Tensor:
        from netspec import ops

        h = ops.to_tokens(m.norm(x))  # (N, T, C), T = H*W
        h = m.out(ops.attention(m.q(h), m.k(h), m.v(h), self.count(m.q.in_features)))
        return x + ops.from_tokens(h, x)
