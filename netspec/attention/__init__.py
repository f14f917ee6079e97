"""Attention and transformer blocks of a U-Net level, and the rule that both share: heads by count or by width."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal, TypeAlias

from netspec import tensors
from netspec.fields import Param
from netspec.problems import Problem
from netspec.registry import Component, Record
from netspec.tensors import TensorType

NumHeads: TypeAlias = Annotated[int | None, Param("number of heads; this or `head_dim` must be given", ge=1, example=8)]
HeadDim: TypeAlias = Annotated[
    int | None,
    Param(
        "channels of one head; alone it says how many there are, beside `num_heads` how wide q, k and v are",
        ge=1,
        example=64,
    ),
]


@dataclass(frozen=True, slots=True)
class Scores:
    """The weights of one attention, for one sample at `opt`: in each head a number for each query and key. `own` says
    that the keys are those of the queries' own positions."""

    heads: int
    head_dim: int
    queries: int
    keys: int
    own: bool

    @property
    def elements(self) -> int:
        """Numbers that are stored where no fused kernel avoids it."""
        return self.heads * self.queries * self.keys


class Heads(Record):
    """How a width splits into attention heads: by their number, or by the width of one; both set the inner width."""

    num_heads: NumHeads = None
    head_dim: HeadDim = None

    def count(self, channels: int) -> int:
        """The number of heads for a given width."""
        return self.num_heads or channels // (self.head_dim or channels)

    def width(self, channels: int) -> int:
        """The width of q, k and v: heads x head width."""
        return self.num_heads * self.head_dim if self.num_heads and self.head_dim else channels

    @property
    def split(self) -> Literal["num_heads", "head_dim"]:
        """The choice that the heads follow from."""
        return "num_heads" if self.num_heads else "head_dim"

    def scores(self, x: TensorType, *rest: TensorType) -> Iterator[Scores]:
        """Every attention over `x`, the inputs being those of the node: here one, of each position to all."""
        yield self.scored(x, x)

    def scored(self, queries: TensorType, keys: TensorType) -> Scores:
        """The scores of one attention."""
        heads = self.count(queries.channels)
        width = self.width(queries.channels) // heads
        return Scores(heads, width, queries.positions, keys.positions, own=keys is queries)

    def check_heads(self, channels: int) -> Iterator[Problem]:
        """NS302 where the channels do not split, NS309 where the spec does not say how."""
        if self.num_heads is None and self.head_dim is None:
            yield Problem(
                "NS309",
                "attention needs num_heads or head_dim",
                field="num_heads",
                label="how many heads?",
                help=("add `num_heads: 8`, or `head_dim: 64` for a number that grows with the channels",),
            )
        elif self.num_heads and self.head_dim:
            return
        elif self.num_heads and channels % self.num_heads:
            yield self._uneven(channels, "num_heads", self.num_heads, "heads")
        elif self.head_dim and channels % self.head_dim:
            yield self._uneven(channels, "head_dim", self.head_dim, f"heads of {self.head_dim}")

    def _uneven(self, channels: int, field: str, divisor: int, words: str) -> Problem:
        heads = f"{divisor} {words}" if field == "num_heads" else words
        return Problem(
            "NS302",
            f"{channels} channels do not split into {heads}",
            field=field,
            label=f"{channels} / {divisor} = {channels / divisor:g}",
            subject=str(channels),
            fits=frozenset(n for n in range(4, min(channels // 4, 1024) + 1) if channels % n == 0),
        )


def no_context() -> Problem:
    """An attention to a context that the transformer does not have."""
    return Problem(
        "NS306",
        "an attention to the context, but the transformer has none",
        field="attends",
        label="nothing to attend to",
        help=("name an input of tokens: `context: text`, or attend to `self` alone",),
    )


def empty_mlp(width: int, ratio: float) -> Iterator[Problem]:
    """NS308 where nothing is left of an MLP's hidden layer."""
    if int(width * ratio) == 0:
        message = f"an MLP of {ratio:g} x {width} has no hidden unit"
        yield Problem("NS308", message, field="mlp_ratio", label="too small", help=("the usual ratio is 4",))


class Attention(Component, Heads, kind="attention", usual="full"):
    """Mixes the positions of an image; keeps its type and adds a residual."""

    per: Annotated[
        Literal["block", "level"],
        Param(
            "after every block of a level, or once after its last",
            words={"block": "after every block", "level": "once, after the last block"},
        ),
    ] = "block"

    trial = (tensors.image(tensors.fixed(2), 64, tensors.fixed(8), tensors.fixed(6)),)

    def infer(self, x: TensorType) -> TensorType:
        return x


class Transformer(Component, Heads, kind="transformer", usual="spatial", shorthand="depth"):
    """A stack of transformer blocks over the positions of an image, with or without a context.

    forward(x, context): x (N, C, H, W), context (N, L, D) or absent.
    """

    depth: Annotated[
        int | tuple[int, ...],
        Param("transformer blocks in the stack, 0 for none; a list where stacks of one level differ", ge=0, le=256),
    ] = 1
    context: Annotated[str | None, Param("the input whose tokens every block attends to", refers="input")] = None
    attends: Annotated[
        tuple[Literal["self", "context"], ...],
        Param(
            "what each attention of a block attends to, in this order; "
            "by default itself, then the context where there is one",
            words={"self": "the image's own positions", "context": "the tokens of `context`"},
        ),
    ] = ()

    trial = (
        tensors.image(tensors.fixed(2), 64, tensors.fixed(8), tensors.fixed(6)),
        tensors.tokens(tensors.fixed(2), tensors.fixed(7), 24),
    )

    def infer(self, x: TensorType, context: TensorType | None = None) -> TensorType:
        return x

    def stacks(self, count: int) -> tuple[int, ...]:
        """The depths of the `count` stacks of a level; of a list as many as it has."""
        return (self.depth,) * count if isinstance(self.depth, int) else self.depth

    @property
    def blocks(self) -> int:
        """Transformer blocks of a transformer that is one stack."""
        (depth,) = self.stacks(1)
        return depth
