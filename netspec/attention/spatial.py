"""The spatial transformer of latent diffusion."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Literal

from netspec import costs
from netspec.attention import Scores, Transformer, empty_mlp, no_context
from netspec.costs import Cost
from netspec.fields import Param, choice
from netspec.norms import Norm
from netspec.problems import Problem, within
from netspec.tensors import TensorType, product, tokens
from netspec.wiring.transformer_block import TransformerBlock

if TYPE_CHECKING:
    from torch import Tensor, nn

    from netspec.module import Parts


class SpatialTransformer(Transformer, name="spatial"):
    """norm, projection, `depth` x (self-attention, cross-attention, MLP), projection, residual.

    Rombach et al. 2022, arXiv:2112.10752, App. E.2.1; the eps of the entry norm as released with it.
    """

    label = "Transformer"

    example = "{num_heads: 8, context: text}"

    norm: Annotated[Norm, Param("before the entry projection")] = choice("group", eps=1e-6)
    mlp: Annotated[
        Literal["geglu", "gelu"],
        Param(
            "the MLP: gated by GELU, or plain",
            words={"geglu": "one half gated by GELU of the other", "gelu": "plain, with GELU"},
        ),
    ] = "geglu"
    mlp_ratio: Annotated[float, Param("hidden width of the MLP as a multiple of the width", gt=0, le=1024)] = 4.0
    dropout: Annotated[float, Param("share dropped inside MLP and after each attention", ge=0, le=1)] = 0.0
    zero_init: Annotated[bool, Param("start the exit projection at zero")] = True

    def check(self, x: TensorType, context: TensorType | None = None, channels: int | None = None) -> Iterator[Problem]:
        yield from self.check_heads(x.channels)
        yield from within("norm", self.norm.check(x))
        yield from empty_mlp(self.width(x.channels), self.mlp_ratio)
        if "context" in self.attends and context is None:
            yield no_context()

    def scores(self, x: TensorType, *rest: TensorType) -> Iterator[Scores]:
        inner, _ = self._inner(x)
        for _ in range(self.blocks):
            for source in inner.sources(x, *rest):
                yield self.scored(x, source)

    def cost(self, x: TensorType, context: TensorType | None = None, *, out: TensorType) -> Cost:
        inner, h = self._inner(x)
        projections = costs.linear(x.channels, h.channels, count=costs.applied(x)) + costs.linear(
            h.channels, x.channels, count=costs.applied(x)
        )
        return self.norm.cost(x, x) + projections + inner.cost(h, context, out=h) * self.blocks

    def build(self, x: TensorType, context: TensorType | None = None, *, out: TensorType) -> nn.Module:
        from torch import nn

        from netspec.module import assemble, zeroed

        inner, h = self._inner(x)
        return assemble(
            self,
            norm=self.norm.build(x, x),
            proj_in=nn.Linear(x.channels, h.channels),
            blocks=nn.ModuleList(inner.build(h, context, out=h) for _ in range(self.blocks)),
            proj_out=zeroed(nn.Linear(h.channels, x.channels), self.zero_init),
        )

    def forward(self, m: Parts, x: Tensor, context: Tensor | None = None) -> Tensor:
        from netspec import ops

        h = m.proj_in(ops.to_tokens(m.norm(x)))  # (N, T, C), T = H*W
        for block in m.blocks:
            h = block(h) if context is None else block(h, context)
        return x + ops.from_tokens(m.proj_out(h), x)

    def _inner(self, x: TensorType) -> tuple[TransformerBlock, TensorType]:
        """One block of the stack and the type of its tokens."""
        width = self.width(x.channels)
        block = TransformerBlock(
            num_heads=self.count(x.channels), attends=self.attends, mlp=self.mlp, mlp_ratio=self.mlp_ratio,
            dropout=self.dropout,
        )  # fmt: skip
        return block, tokens(x.batch, product(x.sizes), width)
