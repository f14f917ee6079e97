"""The transformer block of two streams that attend to each other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, TypeVar

from netspec import costs, tensors
from netspec.attention import Scores
from netspec.costs import Cost
from netspec.fields import Param
from netspec.tensors import TensorType
from netspec.wiring.streams import StreamBlock
from netspec.wiring.token_join import without

if TYPE_CHECKING:
    from torch import Tensor, nn

    from netspec.module import Parts

T = TypeVar("T")


class JointBlock(StreamBlock, name="joint_block"):
    """Image and context, each with weights of its own, joined for attention alone. Esser et al. 2024, arXiv:2403.03206.

    Fig. 2b: per stream x += gate * out(attention over both), x += gate * mlp(modulate(norm(x))). With `dual`, the image
    also attends to itself alone, beside the joint attention. Without `update_context` nothing reads the context after
    this block: its stream gives keys and values; the q that published files hold for it stays, and is not computed.

    forward(x, c, context, table, mask): x (N, L + T, C), the context's L tokens first; c (N, D) where modulated;
    context (N, L, *), only for its length; table (N, L + T, D) where rotary; mask (N, L + T) where masked. Returns
    (N, L + T, C), or (N, T, C) without `update_context`.
    """

    label = "joint block"

    dual: Annotated[bool, Param("a second attention over the image's tokens alone")] = False
    update_context: Annotated[bool, Param("carry the context on to the next block")] = True

    trial = (
        tensors.tokens(tensors.fixed(2), tensors.fixed(17), 32),
        tensors.vector(tensors.fixed(2), 32),
        tensors.tokens(tensors.fixed(2), tensors.fixed(5), 24),
    )

    def sketch(self) -> tuple[tuple[str, ...], ...]:
        own = (("attention", ""),) if self.dual else ()
        return (("joint attention",), *own, ("MLP", "MLP" if self.update_context else ""))

    def chunked(self) -> Iterator[int]:
        yield self._chunks
        yield self._context_chunks

    @property
    def _chunks(self) -> int:
        return self.modulation.chunks(branches=self._branches)

    @property
    def _branches(self) -> int:
        return 3 if self.dual else 2

    @property
    def _context_chunks(self) -> int:
        """Without a branch to end there is no gate."""
        if self.update_context:
            return self.modulation.chunks(branches=2)
        return 2 if self.modulation.modulated else 0

    def infer(self, x: TensorType, *rest: TensorType) -> TensorType:
        return x if self.update_context else without(x, self._context(rest))

    def scores(self, x: TensorType, *rest: TensorType) -> Iterator[Scores]:
        yield self.scored(self.infer(x, *rest), x)
        if self.dual:
            image = without(x, self._context(rest))
            yield self.scored(image, image)

    def cost(self, x: TensorType, *rest: TensorType, out: TensorType) -> Cost:
        c, like = self.vector(rest), self._context(rest)
        context, image = x.sized(like.sizes), without(x, like)
        width, inner, batch = x.channels, self.width(x.channels), x.batch.opt
        total = self._stream_cost(image) + self.modulation_cost(c, width, self._chunks)
        if self.update_context:
            total += self._stream_cost(context)
        else:
            total += self.norm_cost(width) + self.attention_cost(context, out=False, queried=False)
        total += self.modulation_cost(c, width, self._context_chunks)
        total += costs.attention(out.positions, x.positions, inner, batch=batch)
        if self.dual:
            total += self.attention_cost(image) + costs.attention(image.positions, image.positions, inner, batch=batch)
        return total

    def _stream_cost(self, x: TensorType) -> Cost:
        return self.norm_cost(x.channels) * 2 + self.attention_cost(x) + self.mlp_cost(x)

    def build(self, x: TensorType, *rest: TensorType, out: TensorType) -> nn.Module:
        from torch import nn

        from netspec.module import assemble

        c, width = self.vector(rest), x.channels
        image = self._stream(x)
        context = (
            self._stream(x)
            if self.update_context
            else {"norm1": self.norm(width), "attn": self.attention_parts(width, out=False)}
        )
        if self.dual:
            image["attn2"] = self.attention_parts(width)
        if c is not None:
            image["modulation"] = self.modulation.build(c, c.wide(width * self._chunks))
            context["modulation"] = self.modulation.build(c, c.wide(width * self._context_chunks))
        return assemble(self, image=nn.ModuleDict(image), context=nn.ModuleDict(context))

    def _stream(self, x: TensorType) -> dict[str, nn.Module]:
        width = x.channels
        norms = {"norm1": self.norm(width), "attn": self.attention_parts(width), "norm2": self.norm(width)}
        return {**norms, **self.mlp_parts(x)}

    def forward(self, m: Parts, x: Tensor, *rest: Tensor) -> Tensor:
        import torch

        from netspec import ops

        c, like, table = self.vector(rest), self._context(rest), self.table(rest)
        context, image = ops.keep_tokens(x, like), ops.skip_tokens(x, like)  # (N, L, C), (N, T, C)
        told = self.told(m.image, c, self._chunks, self._branches)
        told_context = self.told(m.context, c, self._context_chunks, 2 if self.update_context else 1)
        normed = m.image.norm1(image)
        h, h_context = self.enter(normed, told[0]), self.enter(m.context.norm1(context), told_context[0])
        q, k = (self.normed(m.image.attn, name, h) for name in ("q", "k"))
        if self.update_context:
            q = torch.cat([self.normed(m.context.attn, "q", h_context), q], dim=1)
        k = torch.cat([self.normed(m.context.attn, "k", h_context), k], dim=1)
        v = torch.cat([m.context.attn.v(h_context), m.image.attn.v(h)], dim=1)  # (N, L + T, C)
        own = None if table is None else ops.skip_tokens(table, like)  # the image's part
        heads = self.heads(m.image.attn)
        q, k = self.turned(q, table if self.update_context else own, heads), self.turned(k, table, heads)
        mixed = ops.attention(q, k, v, heads, mask=self.mask(rest))
        seen = ops.skip_tokens(mixed, like) if self.update_context else mixed
        image = self.leave(image, m.image.attn.out(seen), told[0])
        if self.dual:
            image = self.leave(image, self._alone(m.image.attn2, self.enter(normed, told[2]), own), told[2])
        image = self.mlp(m.image, image, told[1])
        if not self.update_context:
            return image
        context = self.leave(context, m.context.attn.out(ops.keep_tokens(mixed, like)), told_context[0])
        return torch.cat([self.mlp(m.context, context, told_context[1]), image], dim=1)

    def _alone(self, attn: Parts, h: Tensor, table: Tensor | None) -> Tensor:
        """Attention of the image to itself."""
        from netspec import ops

        heads = self.heads(attn)
        q, k = (self.turned(self.normed(attn, name, h), table, heads) for name in ("q", "k"))
        return attn.out(ops.attention(q, k, attn.v(h), heads))  # type: ignore[no-any-return]  # a module's call is untyped

    def _context(self, rest: tuple[T, ...]) -> T:
        """What has as many tokens as the context."""
        return rest[-1 - self.rotary - self.masked]
