"""The diffusion transformer: patches, a stack of equal blocks, patches back to an image."""

from __future__ import annotations

from typing import Annotated, Literal

from netspec.activations import Activation
from netspec.builder import Builder
from netspec.errors import SpecPath
from netspec.families import Denoiser
from netspec.fields import Param, choice
from netspec.modulations import ModulationRule
from netspec.plan import Value
from netspec.positions import Position
from netspec.registry import Record
from netspec.tensors import Layout
from netspec.wiring.dit_block import DiTBlock, DiTHead
from netspec.wiring.patch import Patchify, Unpatchify
from netspec.wiring.projection import LinearProjection, MlpProjection, SharedModulation
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
    project: Annotated[
        Literal["linear", "mlp", "none"],
        Param("how an input's tokens come to hidden_size; the conditioning vectors already have it"),
    ] = "linear"
    norm: Annotated[Literal["layer", "none"], Param("before the queries of cross-attention")] = "layer"


class DiT(Denoiser, name="dit"):
    """Patchify, positions, `depth` transformer blocks, a modulated head, unpatchify.

    Peebles & Xie 2023, arXiv:2212.09748. The paper's four conditionings: `modulation: adaln_zero` or `adaln`, or
    `modulation: none` with `context: {input: conditioning, attention: in_context | cross}`.
    """

    convention = "dit"
    example = "{patch_size: 2, hidden_size: 64, depth: 2, num_heads: 4}"

    patch_size: Annotated[
        int | None, Param("side of a patch in pixels; `none` where the input is a token sequence", ge=1)
    ]
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

    @property
    def takes(self) -> Layout:
        return "image" if self.patch_size else "tokens"

    def denoise(self, b: Builder, x: Value, channels: int) -> Value:
        picture = x
        x = self._tokens(b, x)
        vector, context = self._vector(b), self._context(b)
        told = vector
        if vector is not None and self.modulation.shared:
            width = self.hidden_size * self.modulation.chunks(branches=2)
            told = b.add(
                "modulation", SharedModulation(), vector, channels=width, at=("dit", "modulation"), stage="embed"
            )
        x = self._blocks(b, x, told, context)
        head, sides = DiTHead(modulation=self.modulation), [vector] if vector is not None else []
        if self.patch_size is None:
            return b.add("head", head, x, *sides, channels=channels, at=("dit",), stage="head")
        patch = self.patch_size**2 * channels
        x = b.add("head", head, x, *sides, channels=patch, at=("dit",), stage="head")
        rule = Unpatchify(patch_size=self.patch_size)
        return b.add("unpatchify", rule, x, picture, at=("dit", "patch_size"), stage="head")

    def _tokens(self, b: Builder, x: Value) -> Value:
        """The image as tokens of hidden_size that know their place."""
        if self.patch_size is None:
            return b.add(
                "patch_embed", LinearProjection(), x, channels=self.hidden_size, at=("dit",), stage="embed"
            )  # fmt: skip
        x = b.add(
            "patch_embed", Patchify(patch_size=self.patch_size), x,
            channels=self.hidden_size, at=("dit", "patch_size"), stage="embed",
        )  # fmt: skip
        at, near = ("dit", "pos_embed"), ("dit", "hidden_size")
        return b.add("pos_embed", self.pos_embed, x, at=at, near=near, stage="embed")

    def _blocks(self, b: Builder, x: Value, told: Value | None, context: Value | None) -> Value:
        appended = self.context is not None and self.context.attention == "in_context"
        tokens = x
        if appended and context is not None:
            x = b.add("append_context", AppendTokens(), x, context, at=("dit", "context"), stage="embed")
            context = None
        block = DiTBlock(
            num_heads=self.num_heads, head_dim=self.head_dim, mlp_ratio=self.mlp_ratio, act=self.act,
            modulation=self.modulation, qk_norm=self.qk_norm, cross=context is not None,
            cross_norm=self.context.norm if self.context is not None else "layer",
        )  # fmt: skip
        sides = [value for value in (told, context) if value is not None]
        for index in range(self.depth):
            x = b.add(f"block_{index}", block, x, *sides, at=("dit",), near=("dit", "hidden_size"), stage="blocks")
        if appended:
            x = b.add("drop_context", DropTokens(), x, tokens, at=("dit", "context"), stage="head")
        return x

    def _vector(self, b: Builder) -> Value | None:
        """The conditioning vector, where the modulation uses one."""
        if not self.modulation.modulated:
            return None
        vector = b.vector(self.hidden_size)
        if vector is None:
            b.lacks_conditioning("modulation", self.modulation.name, ("dit", "modulation"))
        return vector

    def _context(self, b: Builder) -> Value | None:
        """The tokens of the context at hidden_size, where the spec has one."""
        if self.context is None:
            return None
        at: SpecPath = ("dit", "context", "input")
        if self.context.input == CONDITIONING:
            if parts := b.embeds(self.hidden_size):
                return b.add("context", Sequence(), *parts, at=("dit", "context"), stage="embed")
            b.lacks_conditioning("context", CONDITIONING, at)
            return None
        tokens, rule = b.context(self.context.input, at), _PROJECTIONS.get(self.context.project)
        if rule is None:
            return tokens
        return b.add("context_embed", rule, tokens, channels=self.hidden_size, at=at, stage="embed")


_PROJECTIONS = {"linear": LinearProjection(), "mlp": MlpProjection()}
