"""What transformer blocks over streams of tokens share: projections to heads, rotary positions, modulated branches."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

from netspec import costs
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

EPS = 1e-6  # of every norm; Esser et al. 2024, released code
T = TypeVar("T")
Told = Sequence["Tensor"]  # shift, scale and gate of one branch, as far as the modulation has them


class StreamBlock(Wiring, Heads):
    """The choices and the parts of a block whose branches a vector modulates."""

    mlp_ratio: Annotated[float, Param("hidden width of the MLP as a multiple of the width", gt=0, le=1024)] = 4.0
    act: Annotated[Activation, Param("inside the MLP")] = choice("gelu", approximate="tanh")
    modulation: Annotated[ModulationRule, Param("how the vector enters")] = choice("adaln_zero")
    qk_norm: Annotated[Literal["none", "rms", "layer"], Param("norm of queries and keys per head")] = "none"
    rotary: Annotated[bool, Param("turn queries and keys by a table of angles")] = False
    masked: Annotated[bool, Param("a mask says which tokens of the sequence attention sees")] = False

    def check(self, x: TensorType, *rest: TensorType, channels: int | None = None) -> Iterator[Problem]:
        yield from self.check_heads(x.channels)
        yield from empty_mlp(x.channels, self.mlp_ratio)
        if self.modulation.shared and rest and any(x.channels * n != rest[0].channels for n in self.chunked()):
            yield Problem(
                "NS318",
                f"`{self.modulation.name}` gives every block the same vectors, and these blocks differ in how many "
                "they need",
                field="modulation",
                label="one projection for all blocks",
                help=("write `modulation: adaln_zero`",),
            )

    @abstractmethod
    def chunked(self) -> Iterator[int]:
        """How many vectors of the block's width each of its streams needs."""

    # Inputs after the sequence: vector, what the block itself adds, table, mask, as far as the choices have them

    def vector(self, rest: tuple[T, ...]) -> T | None:
        """The conditioning vector (N, D), or what a shared projection made of it."""
        return rest[0] if self.modulation.modulated else None

    def table(self, rest: tuple[T, ...]) -> T | None:
        """The table of angles (N, T, D)."""
        return rest[-2 if self.masked else -1] if self.rotary else None

    def mask(self, rest: tuple[T, ...]) -> T | None:
        """The mask of the sequence (N, T), 0 for tokens that nobody sees."""
        return rest[-1] if self.masked else None

    # Construction

    def attention_parts(
        self, width: int, *, context: int = 0, out: bool = True, zero_init: bool = False
    ) -> nn.ModuleDict:
        """q, k and v, of tokens `context` wide where those are others, their norms and, unless something else follows,
        the projection back. Initialised as the one matrix of q, k and v that is published."""
        from torch import nn

        from netspec.module import xavier_linear, zeroed

        inner, seen = self.width(width), context or width
        parts: dict[str, nn.Module] = {
            "q": xavier_linear(nn.Linear(width, inner), fused=3),
            "k": xavier_linear(nn.Linear(seen, inner), fused=3),
            "v": xavier_linear(nn.Linear(seen, inner), fused=3),
        }
        if out:
            parts["out"] = zeroed(xavier_linear(nn.Linear(inner, width)), zero_init)
        if self.qk_norm != "none":
            norm, head = nn.RMSNorm if self.qk_norm == "rms" else nn.LayerNorm, inner // self.count(width)
            parts |= {"norm_q": norm(head, eps=EPS), "norm_k": norm(head, eps=EPS)}
        return nn.ModuleDict(parts)

    def mlp_parts(self, x: TensorType) -> dict[str, nn.Module]:
        """The two layers of the MLP and what stands between them."""
        from torch import nn

        from netspec.module import xavier_linear

        width, hidden = x.channels, self.hidden(x.channels)
        return {
            "mlp_in": xavier_linear(nn.Linear(width, hidden)),
            "mlp_act": self.act.build(x, x),
            "mlp_out": xavier_linear(nn.Linear(hidden, width)),
        }

    def norm(self, width: int, eps: float = EPS) -> nn.Module:
        """The norm before a branch; it has gains of its own only where nothing modulates it."""
        from torch import nn

        return nn.LayerNorm(width, eps=eps, elementwise_affine=self.modulation.norm_affine)

    def hidden(self, width: int) -> int:
        """Units of the MLP."""
        return int(width * self.mlp_ratio)

    # Cost

    def attention_cost(
        self, x: TensorType, context: TensorType | None = None, *, out: bool = True, queried: bool = True
    ) -> Cost:
        """Projections of the tokens `x`, and of the context's where those are seen; `queried` tells whether any token
        asks, so that q is computed."""
        width, inner, count, seen = x.channels, self.width(x.channels), costs.applied(x), context or x
        total = costs.linear(width, inner, count=count if queried else 0)
        total += costs.linear(seen.channels, inner, count=costs.applied(seen)) * 2
        total += costs.linear(inner, width, count=count) if out else Cost()
        head = inner // self.count(width)
        norm = {"none": Cost(), "rms": Cost(params=head), "layer": costs.affine(head)}[self.qk_norm]
        return total + norm * 2

    def mlp_cost(self, x: TensorType) -> Cost:
        """Of the MLP on the tokens `x`."""
        width, hidden, count = x.channels, self.hidden(x.channels), costs.applied(x)
        return costs.linear(width, hidden, count=count) + costs.linear(hidden, width, count=count)

    def norm_cost(self, width: int) -> Cost:
        """Of one norm before a branch."""
        return costs.affine(width) if self.modulation.norm_affine else Cost()

    def modulation_cost(self, c: TensorType | None, width: int, chunks: int) -> Cost:
        """Of the projection of the vector to one stream's chunks."""
        return Cost() if c is None else self.modulation.cost(c, c.wide(width * chunks))

    # Computation

    def told(self, part: Parts, c: Tensor | None, chunks: int, branches: int) -> list[Told]:
        """The vectors (N, C) of each branch of one stream."""
        if c is None:
            return [()] * branches
        vectors = part.modulation(c).chunk(chunks, dim=-1)
        each = chunks // branches
        return [[vectors[i] for i in range(first, first + each)] for first in range(0, chunks, each)]

    def enter(self, h: Tensor, told: Told) -> Tensor:
        """What a branch reads: the normed tokens, shifted and scaled."""
        from netspec import ops

        return ops.modulate(h, told[0], told[1]) if told else h

    def leave(self, x: Tensor, h: Tensor, told: Told) -> Tensor:
        """The residual stream with what a branch made."""
        return x + told[2].unsqueeze(1) * h if len(told) > 2 else x + h

    def mlp(self, part: Parts, x: Tensor, told: Told) -> Tensor:
        """The residual stream after the MLP of `part`."""
        h = self.enter(part.norm2(x), told)
        return self.leave(x, part.mlp_out(part.mlp_act(part.mlp_in(h))), told)

    def heads(self, attn: Parts) -> int:
        """The number of heads."""
        return self.count(attn.q.in_features)

    def normed(self, attn: Parts, name: Literal["q", "k"], h: Tensor) -> Tensor:
        """Queries or keys (N, T, D) of one stream."""
        made: Tensor = attn[name](h)
        if self.qk_norm == "none":
            return made
        return attn[f"norm_{name}"](made.unflatten(-1, (self.heads(attn), -1))).flatten(2)  # type: ignore[no-any-return, no-untyped-call]  # a module's call is untyped

    def turned(self, x: Tensor, table: Tensor | None, heads: int) -> Tensor:
        """Queries or keys at their places, where there is a table."""
        from netspec import ops

        return x if table is None else ops.rotate(x, table, heads)
