"""One block of the spatial transformer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from netspec import costs, tensors
from netspec.costs import Cost
from netspec.fields import Param
from netspec.tensors import TensorType
from netspec.wiring import Wiring

if TYPE_CHECKING:
    from torch import Tensor, nn

    from netspec.module import Parts


class TransformerBlock(Wiring, name="transformer_block"):
    """Self-attention, cross-attention where there is a context, MLP; each after a layer norm, each with a residual.

    Rombach et al. 2022, arXiv:2112.10752, App. E.2.1. forward(x, context): x (N, T, C), context (N, L, D) or absent.
    `attends` makes it other attentions, such as two to the context where self-attention would cost too much.
    """

    num_heads: Annotated[int, Param("number of heads", ge=1)] = 8
    attends: Annotated[
        tuple[Literal["self", "context"], ...],
        Param("what each attention attends to, in this order; by default itself, then the context where there is one"),
    ] = ()
    mlp: Annotated[Literal["geglu", "gelu"], Param("the MLP: gated by GELU, or plain")] = "geglu"
    mlp_ratio: Annotated[float, Param("hidden width of the MLP as a multiple of the width", gt=0, le=1024)] = 4.0
    dropout: Annotated[float, Param("share dropped inside MLP and after each attention", ge=0, le=1)] = 0.0

    trial = (
        tensors.tokens(tensors.fixed(2), tensors.fixed(12), 64),
        tensors.tokens(tensors.fixed(2), tensors.fixed(7), 24),
    )

    def infer(self, x: TensorType, context: TensorType | None = None) -> TensorType:
        return x

    def cost(self, x: TensorType, context: TensorType | None = None, *, out: TensorType) -> Cost:
        width, count, hidden = x.channels, costs.applied(x), self._hidden(x)
        total = costs.affine(width)
        for source in self.sources(x, context):
            total += costs.affine(width) + _attention_cost(x, source)
        total += costs.linear(width, hidden * (2 if self.mlp == "geglu" else 1), count=count)
        return total + costs.linear(hidden, width, count=count)

    def build(self, x: TensorType, context: TensorType | None = None, *, out: TensorType) -> nn.Module:
        from torch import nn

        from netspec.module import assemble

        width, hidden = x.channels, self._hidden(x)
        parts: dict[str, nn.Module] = {}
        for number, source in enumerate(self.sources(x, context), 1):
            parts |= {f"norm{number}": nn.LayerNorm(width), f"attn{number}": _attention(width, source.channels)}
        parts |= {
            "norm_mlp": nn.LayerNorm(width),
            "mlp_in": nn.Linear(width, hidden * (2 if self.mlp == "geglu" else 1)),
            "mlp_act": nn.GELU(),
            "mlp_out": nn.Linear(hidden, width),
            "dropout": nn.Dropout(self.dropout),
        }
        return assemble(self, parts)

    def forward(self, m: Parts, x: Tensor, context: Tensor | None = None) -> Tensor:
        for number, source in enumerate(self._reads(context is not None), 1):
            h = getattr(m, f"norm{number}")(x)  # (N, T, C)
            x = x + self._attend(m, getattr(m, f"attn{number}"), h, context if source == "context" else h)
        h = m.mlp_in(m.norm_mlp(x))
        if self.mlp == "geglu":  # Shazeer 2020, arXiv:2002.05202, Eq. 5: the second half is the gate
            h, gate = h.chunk(2, dim=-1)
            h = h * m.mlp_act(gate)
        else:
            h = m.mlp_act(h)
        return x + m.mlp_out(m.dropout(h))  # type: ignore[no-any-return]  # a module's call is untyped

    def _attend(self, m: Parts, attn: Parts, x: Tensor, context: Tensor | None) -> Tensor:
        from netspec import ops

        h = ops.attention(attn.q(x), attn.k(context), attn.v(context), self.num_heads)
        return m.dropout(attn.out(h))  # type: ignore[no-any-return]  # a module's call is untyped

    def _reads(self, context: bool) -> tuple[Literal["self", "context"], ...]:
        """What each attention attends to."""
        return self.attends or (("self", "context") if context else ("self",))

    def sources(self, x: TensorType, context: TensorType | None = None) -> list[TensorType]:
        """The types of the tokens that each attention reads."""
        return [context if name == "context" and context else x for name in self._reads(context is not None)]

    def _hidden(self, x: TensorType) -> int:
        return int(x.channels * self.mlp_ratio)


def _attention(width: int, context: int) -> nn.Module:
    """The four projections of one attention: no bias but on the way out."""
    from torch import nn

    return nn.ModuleDict(
        {
            "q": nn.Linear(width, width, bias=False),
            "k": nn.Linear(context, width, bias=False),
            "v": nn.Linear(context, width, bias=False),
            "out": nn.Linear(width, width),
        }
    )


def _attention_cost(x: TensorType, context: TensorType) -> Cost:
    width = x.channels
    return (
        costs.linear(width, width, count=costs.applied(x), bias=False)
        + costs.linear(context.channels, width, count=costs.applied(context), bias=False) * 2
        + costs.attention(x.positions, context.positions, width, batch=x.batch.opt)
        + costs.linear(width, width, count=costs.applied(x))
    )
