"""The diffusion transformer: patches, a stack of equal blocks, patches back to an image."""

from __future__ import annotations

from typing import Annotated, Literal

from netspec.activations import Activation
from netspec.builder import Builder
from netspec.families import Family
from netspec.fields import Param, choice
from netspec.modulations import ModulationRule
from netspec.plan import Value
from netspec.positions import Position
from netspec.registry import Record
from netspec.wiring.dit_block import DiTBlock, DiTHead
from netspec.wiring.patch import Patchify, Unpatchify
from netspec.wiring.token_join import AppendTokens, DropTokens, Sequence

CONDITIONING = "conditioning"  # as `context.input`: the conditioning vectors themselves, as tokens


class Context(Record):
    """A token sequence that the blocks read."""

    input: Annotated[
        str, Param("the input that holds the tokens, or `conditioning` for the conditioning vectors", refers="input")
    ]
    attention: Annotated[
        Literal["in_context", "cross"], Param("appended to the image's tokens, or attended to in every block")
    ] = "cross"


class DiT(Family, name="dit"):
    """Patchify, positions, `depth` transformer blocks, a modulated head, unpatchify.

    Peebles & Xie 2023, arXiv:2212.09748. The paper's four conditionings: `modulation: adaln_zero` or `adaln`, or
    `modulation: none` with `context: {input: conditioning, attention: in_context | cross}`.
    """

    convention = "dit"
    example = "{patch_size: 2, hidden_size: 64, depth: 2, num_heads: 4}"

    patch_size: Annotated[int, Param("side of a patch in pixels", ge=1)]
    hidden_size: Annotated[int, Param("width of the tokens", ge=1)]
    depth: Annotated[int, Param("number of blocks", ge=1, le=1024)]
    num_heads: Annotated[int | None, Param("number of attention heads", ge=1)] = None
    head_dim: Annotated[int | None, Param("channels of one head", ge=1)] = None
    mlp_ratio: Annotated[float, Param("hidden width of the MLP as a multiple of hidden_size", gt=0, le=1024)] = 4.0
    act: Annotated[Activation, Param("inside the MLP")] = choice("gelu", approximate="tanh")
    modulation: Annotated[ModulationRule, Param("how the conditioning vector enters the blocks")] = choice("adaln_zero")
    qk_norm: Annotated[Literal["none", "rms"], Param("norm of queries and keys, per head")] = "none"
    pos_embed: Annotated[Position, Param("how tokens learn their place")] = choice("sincos")
    context: Annotated[Context | None, Param("a token sequence that the blocks read")] = None

    def lower(self, b: Builder, x: Value, channels: int) -> Value:
        picture = x
        x = b.add(
            "patch_embed", Patchify(patch_size=self.patch_size), x,
            channels=self.hidden_size, at=("dit", "patch_size"), stage="embed",
        )  # fmt: skip
        x = b.add("pos_embed", self.pos_embed, x, at=("dit", "pos_embed"), near=("dit", "hidden_size"), stage="embed")
        vector, context = self._conditioning(b)
        appended = self.context is not None and self.context.attention == "in_context"
        tokens = x
        if appended and context is not None:
            x = b.add("append_context", AppendTokens(), x, context, at=("dit", "context"), stage="embed")
            context = None
        block = DiTBlock(
            num_heads=self.num_heads, head_dim=self.head_dim, mlp_ratio=self.mlp_ratio, act=self.act,
            modulation=self.modulation, qk_norm=self.qk_norm, cross=context is not None,
        )  # fmt: skip
        sides = [value for value in (vector, context) if value is not None]
        for index in range(self.depth):
            x = b.add(f"block_{index}", block, x, *sides, at=("dit",), near=("dit", "hidden_size"), stage="blocks")
        if appended:
            x = b.add("drop_context", DropTokens(), x, tokens, at=("dit", "context"), stage="head")
        patch = self.patch_size**2 * channels
        head = DiTHead(modulation=self.modulation)
        x = b.add("head", head, x, *([vector] if vector else []), channels=patch, at=("dit",), stage="head")
        return b.add(
            "unpatchify", Unpatchify(patch_size=self.patch_size), x, picture, at=("dit", "patch_size"), stage="head"
        )

    def _conditioning(self, b: Builder) -> tuple[Value | None, Value | None]:
        """(vector for the modulation, tokens for the context), where the spec has them."""
        vector = context = None
        if self.modulation.modulated:
            vector = b.vector(self.hidden_size)
            if vector is None:
                b.lacks_conditioning("modulation", self.modulation.name, ("dit", "modulation"))
        if self.context is not None and self.context.input == CONDITIONING:
            if parts := b.embeds(self.hidden_size):
                context = b.add("context", Sequence(), *parts, at=("dit", "context"), stage="embed")
            else:
                b.lacks_conditioning("context", CONDITIONING, ("dit", "context", "input"))
        elif self.context is not None:
            context = b.context(self.context.input, ("dit", "context", "input"))
        return vector, context
