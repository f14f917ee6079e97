"""The transformer block whose attention and MLP stand side by side."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from netspec import costs, tensors
from netspec.costs import Cost
from netspec.tensors import TensorType
from netspec.wiring.streams import StreamBlock

if TYPE_CHECKING:
    from torch import Tensor, nn

    from netspec.module import Parts


class ParallelBlock(StreamBlock, name="parallel_block"):
    """x += gate * linear(attention(h) beside act(linear(h))), h = modulate(norm(x)).

    Dehghani et al. 2023, arXiv:2302.05442, Sec. 2 (ViT-22B), modulated as in Peebles & Xie 2023, arXiv:2212.09748.
    Published files fuse q, k, v and the MLP's first layer into one matrix; here they are four, which costs a large
    matrix product nothing and leaves no strided views to copy. forward(x, c, table): x (N, T, C); c (N, D) where
    modulated; table (N, T, D) where rotary.
    """

    label = "single-stream block"

    trial = (tensors.tokens(tensors.fixed(2), tensors.fixed(12), 32), tensors.vector(tensors.fixed(2), 32))

    def sketch(self) -> tuple[tuple[str, ...], ...]:
        return (("attention", "MLP"),)

    def chunked(self) -> Iterator[int]:
        yield self.modulation.chunks(branches=1)

    def infer(self, x: TensorType, *rest: TensorType) -> TensorType:
        return x

    def cost(self, x: TensorType, *rest: TensorType, out: TensorType) -> Cost:
        c, width, count = self.vector(rest), x.channels, costs.applied(x)
        inner, hidden = self.width(width), self.hidden(width)
        total = self.norm_cost(width) + self.attention_cost(x, out=False)
        total += costs.attention(x.positions, x.positions, inner, batch=x.batch.opt)
        total += costs.linear(width, hidden, count=count) + costs.linear(inner + hidden, width, count=count)
        return total + self.modulation_cost(c, width, next(self.chunked()))

    def build(self, x: TensorType, *rest: TensorType, out: TensorType) -> nn.Module:
        from torch import nn

        from netspec.module import assemble, xavier_linear

        c, width = self.vector(rest), x.channels
        inner, hidden = self.width(width), self.hidden(width)
        parts: dict[str, nn.Module] = {
            "norm": self.norm(width),
            "attn": self.attention_parts(width, out=False),
            "mlp_in": xavier_linear(nn.Linear(width, hidden)),
            "mlp_act": self.act.build(x, x),
            "out": xavier_linear(nn.Linear(inner + hidden, width)),
        }
        if c is not None:
            parts["modulation"] = self.modulation.build(c, c.wide(width * next(self.chunked())))
        return assemble(self, parts)

    def forward(self, m: Parts, x: Tensor, *rest: Tensor) -> Tensor:
        import torch

        from netspec import ops

        (told,) = self.told(m, self.vector(rest), next(self.chunked()), 1)
        h = self.enter(m.norm(x), told)  # (N, T, C)
        heads, table = self.heads(m.attn), self.table(rest)
        q, k = (self.turned(self.normed(m.attn, name, h), table, heads) for name in ("q", "k"))
        mixed = ops.attention(q, k, m.attn.v(h), heads, mask=self.mask(rest))
        return self.leave(x, m.out(torch.cat([mixed, m.mlp_act(m.mlp_in(h))], dim=-1)), told)
