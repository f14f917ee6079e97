"""The transformer block of DiT, and the layer that ends the stack."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

from netspec import costs, tensors
from netspec.attention import Scores
from netspec.costs import Cost
from netspec.fields import Param, choice
from netspec.modulations import ModulationRule
from netspec.tensors import TensorType
from netspec.wiring import Wiring
from netspec.wiring.streams import EPS, StreamBlock

if TYPE_CHECKING:
    from torch import Tensor, nn

    from netspec.module import Parts

_TOKENS = tensors.tokens(tensors.fixed(2), tensors.fixed(12), 32)
_VECTOR = tensors.vector(tensors.fixed(2), 32)
T = TypeVar("T")


class DiTBlock(StreamBlock, name="dit_block"):
    """x += gate * attention(modulate(norm(x))), x += gate * mlp(modulate(norm(x))).

    Peebles & Xie 2023, arXiv:2212.09748, Fig. 3. With `cross`, attention to a context stands between the two, and
    starts at zero: Chen et al. 2023, arXiv:2310.00426, Sec. 2.3. forward(x, c, context, table, mask): x (N, T, C);
    c (N, D) where modulated; context (N, L, D) where cross; table (N, T, head) where rotary; mask where masked, 0 for
    tokens that nobody sees: (N, L) of the context where there is one, else (N, T).
    """

    label = "DiT block"

    mlp_norm_eps: Annotated[float, Param("added to the variance in the norm before the MLP", gt=0)] = EPS
    cross: Annotated[bool, Param("attend to a context")] = False
    cross_norm: Annotated[Literal["layer", "none"], Param("before the queries of cross-attention")] = "layer"

    trial = (_TOKENS, _VECTOR)

    def sketch(self) -> tuple[tuple[str, ...], ...]:
        return (("attention",), *((("cross-attention",),) if self.cross else ()), ("MLP",))

    def chunked(self) -> Iterator[int]:
        yield self.modulation.chunks(branches=2)

    def infer(self, x: TensorType, *rest: TensorType) -> TensorType:
        return x

    def scores(self, x: TensorType, *rest: TensorType) -> Iterator[Scores]:
        yield self.scored(x, x)
        if (context := self._context(rest)) is not None:
            yield self.scored(x, context)

    def cost(self, x: TensorType, *rest: TensorType, out: TensorType) -> Cost:
        c, context = self.vector(rest), self._context(rest)
        width, inner, batch = x.channels, self.width(x.channels), x.batch.opt
        total = self.norm_cost(width) * 2 + self.attention_cost(x) + self.mlp_cost(x)
        total += costs.attention(x.positions, x.positions, inner, batch=batch)
        if context is not None:
            total += costs.affine(width) if self.cross_norm == "layer" else Cost()
            total += self.attention_cost(x, context)
            total += costs.attention(x.positions, context.positions, inner, batch=batch)
        return total + self.modulation_cost(c, width, next(self.chunked()))

    def build(self, x: TensorType, *rest: TensorType, out: TensorType) -> nn.Module:
        from torch import nn

        from netspec.module import assemble

        c, context, width = self.vector(rest), self._context(rest), x.channels
        parts: dict[str, nn.Module] = {
            "norm1": self.norm(width),
            "attn": self.attention_parts(width),
            "norm2": self.norm(width, self.mlp_norm_eps),
            **self.mlp_parts(x),
        }
        if context is not None:
            parts["norm_cross"] = nn.LayerNorm(width, eps=EPS) if self.cross_norm == "layer" else nn.Identity()
            parts["cross_attn"] = self.attention_parts(width, context=context.channels, zero_init=True)
        if c is not None:
            parts["modulation"] = self.modulation.build(c, c.wide(width * next(self.chunked())))
        return assemble(self, parts)

    def forward(self, m: Parts, x: Tensor, *rest: Tensor) -> Tensor:
        context, mask, table = self._context(rest), self.mask(rest), self.table(rest)
        told = self.told(m, self.vector(rest), next(self.chunked()), 2)
        h = self.enter(m.norm1(x), told[0])  # (N, T, C)
        x = self.leave(x, self._attend(m.attn, h, h, None if self.cross else mask, table), told[0])
        if context is not None:
            x = x + self._attend(m.cross_attn, m.norm_cross(x), context, mask)
        return self.mlp(m, x, told[1])

    def _attend(
        self, attn: Parts, x: Tensor, context: Tensor, mask: Tensor | None, table: Tensor | None = None
    ) -> Tensor:
        from netspec import ops

        heads = self.heads(attn)
        q, k = self.normed(attn, "q", x), self.normed(attn, "k", context)
        q, k = self.turned(q, table, heads), self.turned(k, table, heads)
        return attn.out(ops.attention(q, k, attn.v(context), heads, mask=mask))  # type: ignore[no-any-return]  # a module's call is untyped

    def _context(self, rest: tuple[T, ...]) -> T | None:
        """The tokens that are attended to."""
        return rest[int(self.modulation.modulated)] if self.cross else None


class DiTHead(Wiring, name="dit_head"):
    """norm, shift and scale, linear to the numbers of a patch; the linear layer starts at zero.

    Peebles & Xie 2023, arXiv:2212.09748, Sec. 3.2. forward(x, c): x (N, T, C), c (N, D) where modulated.
    """

    label = "norm + linear"
    role = "head"

    modulation: Annotated[ModulationRule, Param("how the vector enters")] = choice("adaln_zero")

    trial = (_TOKENS, _VECTOR)
    trial_channels = 16

    def infer(self, x: TensorType, c: TensorType | None = None, *, channels: int) -> TensorType:
        return x.wide(channels)

    def cost(self, x: TensorType, c: TensorType | None = None, *, out: TensorType) -> Cost:
        total = costs.linear(x.channels, out.channels, count=costs.applied(x))
        if c is not None:
            total += self.modulation.cost(c, c.wide(2 * x.channels))
        return total + (costs.affine(x.channels) if self.modulation.norm_affine else Cost())

    def build(self, x: TensorType, c: TensorType | None = None, *, out: TensorType) -> nn.Module:
        from torch import nn

        from netspec.module import assemble, zeroed

        parts: dict[str, nn.Module] = {
            "norm": nn.LayerNorm(x.channels, eps=EPS, elementwise_affine=self.modulation.norm_affine),
            "linear": zeroed(nn.Linear(x.channels, out.channels)),
        }
        if c is not None:
            parts["modulation"] = zeroed(self.modulation.build(c, c.wide(2 * x.channels)))
        return assemble(self, parts)

    def forward(self, m: Parts, x: Tensor, c: Tensor | None = None) -> Tensor:
        from netspec import ops

        h = m.norm(x)  # (N, T, C)
        if c is not None:
            shift, scale = m.modulation(c).chunk(2, dim=-1)  # (N, C) each
            h = ops.modulate(h, shift, scale)
        return m.linear(h)  # type: ignore[no-any-return]  # a module's call is untyped
