"""The transformer block of DiT, and the layer that ends the stack."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

from netspec import costs, tensors
from netspec.activations import Activation
from netspec.attention import Heads, empty_mlp
from netspec.costs import Cost
from netspec.fields import Param, choice
from netspec.modulations import ModulationRule
from netspec.problems import Problem
from netspec.tensors import TensorType
from netspec.wiring import Wiring

if TYPE_CHECKING:
    from torch import Tensor, nn

    from netspec.module import Parts

_TOKENS = tensors.tokens(tensors.fixed(2), tensors.fixed(12), 32)
_VECTOR = tensors.vector(tensors.fixed(2), 32)
T = TypeVar("T")
EPS = 1e-6  # of every layer norm; Peebles & Xie 2023, released code


class DiTBlock(Wiring, Heads, name="dit_block"):
    """x += gate * attention(modulate(norm(x))), x += gate * mlp(modulate(norm(x))).

    Peebles & Xie 2023, arXiv:2212.09748, Fig. 3. With `cross`, attention to a context stands between the two.
    forward(x, c, context): x (N, T, C); c (N, D) where modulated; context (N, L, D) where cross.
    """

    mlp_ratio: Annotated[float, Param("hidden width of the MLP as a multiple of the width", gt=0, le=1024)] = 4.0
    act: Annotated[Activation, Param("inside the MLP")] = choice("gelu", approximate="tanh")
    modulation: Annotated[ModulationRule, Param("how the vector enters")] = choice("adaln_zero")
    qk_norm: Annotated[Literal["none", "rms"], Param("norm of queries and keys per head")] = "none"
    cross: Annotated[bool, Param("attend to a context")] = False
    cross_norm: Annotated[Literal["layer", "none"], Param("before the queries of cross-attention")] = "layer"

    trial = (_TOKENS, _VECTOR)

    def check(self, x: TensorType, *rest: TensorType, channels: int | None = None) -> Iterator[Problem]:
        yield from self.check_heads(x.channels)
        yield from empty_mlp(x.channels, self.mlp_ratio)

    def infer(self, x: TensorType, *rest: TensorType) -> TensorType:
        return x

    def cost(self, x: TensorType, *rest: TensorType, out: TensorType) -> Cost:
        c, context = self._split(rest)
        width, count = x.channels, costs.applied(x)
        total = self._projections(width, width, count, count)
        total += costs.attention(x.positions, x.positions, self.width(width), batch=x.batch.opt)
        total += costs.linear(width, self._hidden(x), count=count) + costs.linear(self._hidden(x), width, count=count)
        if context is not None:
            total += costs.affine(width) if self.cross_norm == "layer" else Cost()
            total += self._projections(width, context.channels, count, costs.applied(context))
            total += costs.attention(x.positions, context.positions, self.width(width), batch=x.batch.opt)
        if c is not None:
            total += self.modulation.cost(c, c.wide(width * self._chunks))
        return total + (costs.affine(width) * 2 if self.modulation.norm_affine else Cost())

    def build(self, x: TensorType, *rest: TensorType, out: TensorType) -> nn.Module:
        from torch import nn

        from netspec.module import assemble, xavier_linear

        c, context = self._split(rest)
        width, affine = x.channels, self.modulation.norm_affine
        parts: dict[str, nn.Module] = {
            "norm1": nn.LayerNorm(width, eps=EPS, elementwise_affine=affine),
            "attn": self._attention(width, width),
            "norm2": nn.LayerNorm(width, eps=EPS, elementwise_affine=affine),
            "mlp_in": xavier_linear(nn.Linear(width, self._hidden(x))),
            "mlp_act": self.act.build(x, x),
            "mlp_out": xavier_linear(nn.Linear(self._hidden(x), width)),
        }
        if context is not None:
            parts["norm_cross"] = nn.LayerNorm(width, eps=EPS) if self.cross_norm == "layer" else nn.Identity()
            parts["cross_attn"] = self._attention(width, context.channels)
        if c is not None:
            parts["modulation"] = self.modulation.build(c, c.wide(width * self._chunks))
        return assemble(self, parts)

    def forward(self, m: Parts, x: Tensor, *rest: Tensor) -> Tensor:
        c, context = self._split(rest)
        chunks: list[Tensor] = []
        if c is not None:
            vectors = m.modulation(c).chunk(self._chunks, dim=-1)  # (N, C) each
            chunks = [vectors[i] for i in range(self._chunks)]  # counted: fx cannot iterate
        x = self._branch(m.norm1, lambda h: self._attend(m.attn, h, h), x, chunks)
        if context is not None:
            x = self._branch(m.norm_cross, lambda h: self._attend(m.cross_attn, h, context), x, [])
        return self._branch(m.norm2, lambda h: m.mlp_out(m.mlp_act(m.mlp_in(h))), x, chunks)

    def _branch(self, norm: Parts, f: Callable[[Tensor], Tensor], x: Tensor, chunks: list[Tensor]) -> Tensor:
        """x + gate * f(modulate(norm(x))), as far as there are chunks; takes those it uses from their front."""
        from netspec import ops

        h = norm(x)  # (N, T, C)
        if not chunks:
            return x + f(h)
        shift, scale = chunks.pop(0), chunks.pop(0)
        h = f(ops.modulate(h, shift, scale))
        return x + chunks.pop(0).unsqueeze(1) * h if self.modulation.gated else x + h

    def _attend(self, attn: Parts, x: Tensor, context: Tensor) -> Tensor:
        from netspec import ops

        q, k, v = attn.q(x), attn.k(context), attn.v(context)
        heads = self.count(x.shape[-1]) if self.num_heads is None else self.num_heads
        if self.qk_norm == "rms":
            q, k = (norm(h.unflatten(-1, (heads, -1))).flatten(2) for norm, h in ((attn.norm_q, q), (attn.norm_k, k)))
        return attn.out(ops.attention(q, k, v, heads))  # type: ignore[no-any-return]  # a module's call is untyped

    def _attention(self, width: int, context: int) -> nn.Module:
        """The projections of one attention, initialised as the published fused matrix of q, k and v."""
        from torch import nn

        from netspec.module import xavier_linear

        inner = self.width(width)
        parts: dict[str, nn.Module] = {
            "q": xavier_linear(nn.Linear(width, inner), fused=3),
            "k": xavier_linear(nn.Linear(context, inner), fused=3),
            "v": xavier_linear(nn.Linear(context, inner), fused=3),
            "out": xavier_linear(nn.Linear(inner, width)),
        }
        if self.qk_norm == "rms":
            head = inner // self.count(width)
            parts |= {"norm_q": nn.RMSNorm(head, eps=EPS), "norm_k": nn.RMSNorm(head, eps=EPS)}
        return nn.ModuleDict(parts)

    def _projections(self, width: int, context: int, count: int, context_count: int) -> Cost:
        inner = self.width(width)
        total = costs.linear(width, inner, count=count) + costs.linear(context, inner, count=context_count) * 2
        total += costs.linear(inner, width, count=count)
        return total + (Cost(params=2 * inner // self.count(width)) if self.qk_norm == "rms" else Cost())

    def _split(self, rest: tuple[T, ...]) -> tuple[T | None, T | None]:
        """(vector, context) of the inputs after x, as the choices say."""
        inputs = iter(rest)
        c = next(inputs) if self.modulation.modulated else None
        return c, next(inputs) if self.cross else None

    def _hidden(self, x: TensorType) -> int:
        return int(x.channels * self.mlp_ratio)

    @property
    def _chunks(self) -> int:
        return self.modulation.chunks(branches=2)


class DiTHead(Wiring, name="dit_head"):
    """norm, shift and scale, linear to the numbers of a patch; the linear layer starts at zero.

    Peebles & Xie 2023, arXiv:2212.09748, Sec. 3.2. forward(x, c): x (N, T, C), c (N, D) where modulated.
    """

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
