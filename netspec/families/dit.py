"""The diffusion transformer: patches, a stack of equal blocks, patches back to an image."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from netspec.activations import Activation
from netspec.attention import HeadDim, NumHeads
from netspec.builder import Builder
from netspec.errors import SpecPath
from netspec.families import Denoiser
from netspec.fields import Param, choice
from netspec.modulations import ModulationRule
from netspec.plan import Value
from netspec.positions import Position
from netspec.positions.none import NoPosition
from netspec.positions.rope import Rope
from netspec.problems import Problem
from netspec.registry import Component, Record
from netspec.tensors import Layout
from netspec.wiring.dit_block import DiTBlock, DiTHead
from netspec.wiring.joint_block import JointBlock
from netspec.wiring.parallel_block import ParallelBlock
from netspec.wiring.patch import Patchify, Unpatchify
from netspec.wiring.projection import LinearProjection, MlpProjection, SharedModulation
from netspec.wiring.rotary import RotaryTable
from netspec.wiring.token_join import AppendMask, AppendTokens, DropTokens, Sequence, SkipTokens

CONDITIONING = "conditioning"  # as `context.input`: the conditioning vectors themselves, as tokens


class Context(Record):
    """A token sequence that the blocks read."""

    input: Annotated[
        str, Param("the input that holds the tokens, or `conditioning` for the conditioning vectors", refers="input")
    ]
    attention: Annotated[
        Literal["in_context", "cross", "joint"],
        Param(
            "appended to the image's tokens; attended to in every block; or a second stream with weights of its own, "
            "attended to and attending",
            words={
                "in_context": "its tokens are appended to the image's",
                "cross": "every block attends to it",
                "joint": "a second stream with weights of its own, attended to and attending",
            },
        ),
    ] = "cross"
    project: Annotated[
        Literal["linear", "mlp", "none"],
        Param(
            "how an input's tokens come to hidden_size; the conditioning vectors already have it",
            words={"linear": "one linear layer", "mlp": "two, with GELU between", "none": "they have it already"},
        ),
    ] = "linear"
    norm: Annotated[
        Literal["layer", "none"],
        Param("before the queries of cross-attention", words={"layer": "a layer norm", "none": "no norm"}),
    ] = "layer"
    mask: Annotated[
        str | None,
        Param(
            "the input that says which tokens there are, [batch, tokens]: 1 for a token, 0 for padding",
            refers="input",
            layout="mask",
        ),
    ] = None
    update_last: Annotated[bool, Param("of `joint`: let the last block change the context, which nothing reads")] = True
    ids: Annotated[
        str | None,
        Param(
            "the input that holds the coordinates of the context's tokens for rotary positions, [batch, tokens, axes]; "
            "by default all are zero",
            refers="input",
            dtype="float32",
        ),
    ] = None

    @property
    def order(self) -> Literal["image_first", "context_first"]:
        """Whose tokens come first where both are one sequence."""
        return "context_first" if self.attention == "joint" else "image_first"

    def without_effect(self) -> Iterator[tuple[str, str, str]]:
        """(key, what is wrong, what to do) for choices that the others leave no place for."""
        if self.norm != "layer" and self.attention != "cross":
            yield "norm", "the norm before the queries is one of cross-attention", "take it out"
        if self.project != "linear" and self.input == CONDITIONING:
            yield "project", "the conditioning vectors already have hidden_size", "take it out"
        if self.ids is not None and self.attention == "cross":
            message = "cross-attention does not turn the context's keys"
            yield "ids", message, "take it out, or write `attention: in_context` or `joint`"
        if not self.update_last and self.attention != "joint":
            yield "update_last", "only `attention: joint` updates the context", "take it out"


class DiT(Denoiser, name="dit"):
    """Patchify, positions, `depth` transformer blocks, a modulated head, unpatchify.

    Peebles & Xie 2023, arXiv:2212.09748. The paper's four conditionings: `modulation: adaln_zero` or `adaln`, or
    `modulation: none` with `context: {input: conditioning, attention: in_context | cross}`. With `attention: joint`,
    the MM-DiT of Esser et al. 2024, arXiv:2403.03206; with `single_depth`, blocks of one stream follow those of two.
    """

    convention = "dit"
    example = "{patch_size: 2, hidden_size: 64, depth: 2, num_heads: 4}"

    patch_size: Annotated[
        int | None, Param("side of a patch in pixels; `none` where the input is a token sequence", ge=1)
    ]
    hidden_size: Annotated[int, Param("width of the tokens", ge=1)]
    depth: Annotated[int, Param("number of blocks", ge=1, le=1024)]
    num_heads: NumHeads = None
    head_dim: HeadDim = None
    mlp_ratio: Annotated[float, Param("hidden width of the MLP as a multiple of hidden_size", gt=0, le=1024)] = 4.0
    act: Annotated[Activation, Param("inside the MLP")] = choice("gelu", approximate="tanh")
    modulation: Annotated[ModulationRule, Param("how the conditioning vector enters the blocks")] = choice("adaln_zero")
    qk_norm: Annotated[
        Literal["none", "rms", "layer"],
        Param(
            "norm of queries and keys, per head",
            words={"none": "no norm", "rms": "root mean square", "layer": "layer norm"},
        ),
    ] = "none"
    mlp_norm_eps: Annotated[
        float, Param("added to the variance in the norm before each MLP; in every other norm it is 1e-6", gt=0)
    ] = 1e-6
    pos_embed: Annotated[Position, Param("how tokens learn their place")] = choice("sincos")
    context: Annotated[Context | None, Param("a token sequence that the blocks read")] = None
    dual_attention: Annotated[
        int | tuple[int, ...],
        Param(
            "joint blocks in which the image also attends to itself alone: how many, from the first on, or which, "
            "from 0",
            ge=0,
        ),
    ] = 0
    single_depth: Annotated[
        int,
        Param(
            "blocks after those, in which all tokens share weights and the MLP stands beside attention", ge=0, le=1024
        ),
    ] = 0

    @property
    def takes(self) -> Layout:
        return "image" if self.patch_size else "tokens"

    def denoise(self, b: Builder, x: Value, channels: int) -> Value:
        self._misfits(b)
        picture = x
        grid, x = self._tokens(b, x)
        vector, context = self._vector(b), self._context(b)
        told = vector
        if vector is not None and self.modulation.shared:
            width = self.hidden_size * self.modulation.chunks(branches=2)
            told = b.add(
                "modulation", SharedModulation(), vector, channels=width, at=("dit", "modulation"), stage="modulation"
            )
        x = self._blocks(b, grid, x, told, context)
        head, sides = DiTHead(modulation=self.modulation), [vector] if vector is not None else []
        if self.patch_size is None:
            return b.add("head", head, x, *sides, channels=channels, at=("dit",), stage="head")
        patch = self.patch_size**2 * channels
        x = b.add("head", head, x, *sides, channels=patch, at=("dit",), stage="head")
        rule = Unpatchify(patch_size=self.patch_size)
        return b.add("unpatchify", rule, x, picture, at=("dit", "patch_size"), stage="head")

    def _tokens(self, b: Builder, x: Value) -> tuple[Value, Value]:
        """The grid of patches (of a sequence: the sequence), and tokens of hidden_size that know their place."""
        if self.patch_size is None:
            x = b.add(
                "patch_embed", LinearProjection(), x, channels=self.hidden_size, at=("dit",), stage="image"
            )  # fmt: skip
            return x, x
        grid = b.add(
            "patch_embed", Patchify(patch_size=self.patch_size), x,
            channels=self.hidden_size, at=("dit", "patch_size"), stage="image",
        )  # fmt: skip
        at, near = ("dit", "pos_embed"), ("dit", "hidden_size")
        return grid, b.add("pos_embed", self.pos_embed, grid, at=at, near=near, stage="image")

    def _blocks(self, b: Builder, grid: Value, image: Value, told: Value | None, context: Value | None) -> Value:
        """All blocks, on the image's tokens or on one sequence with those of the context; the image's tokens."""
        rule, x, beside = self.context if context is not None else None, image, context
        joint = rule is not None and rule.attention == "joint"
        if rule is not None and context is not None and rule.attention != "cross":
            join = AppendTokens(order=rule.order)
            x = b.add("append_context", join, image, context, at=("dit", "context"), stage="context")
            beside = self._length(b, context) if joint else None
        within = context if x is not image else None
        table, mask = self._rotary(b, grid, image, x, within), self._mask(b, image, context)
        choices = {**self._choices, "rotary": table is not None, "masked": mask is not None}
        at, near = ("dit",), ("dit", "hidden_size")
        for index in range(self.depth):
            block = self._joint_block(index, choices) if joint else self._dit_block(beside is not None, choices)
            sides = _given(told, beside, table, mask)
            x = b.add(f"block_{index}", block, x, *sides, at=at, near=near, stage="blocks")
        seen = mask if within is not None else None  # what a mask of cross-attention hides is not in the sequence
        for index in range(self.single_depth):
            single = ParallelBlock(**choices | {"masked": seen is not None})
            sides = _given(told, table, seen)
            x = b.add(f"single_{index}", single, x, *sides, at=at, near=near, stage="blocks")
        if rule is None or within is None or not rule.update_last:  # the last block gave the image's tokens alone
            return x
        drop, like = (SkipTokens(), beside or within) if joint else (DropTokens(), image)
        return b.add("drop_context", drop, x, like, at=("dit", "context"), stage="head")

    @property
    def _choices(self) -> dict[str, Any]:
        """What all kinds of blocks are told."""
        return {
            "num_heads": self.num_heads, "head_dim": self.head_dim, "mlp_ratio": self.mlp_ratio, "act": self.act,
            "modulation": self.modulation, "qk_norm": self.qk_norm,
        }  # fmt: skip

    def _dit_block(self, cross: bool, choices: Mapping[str, Any]) -> Component:
        norm = self.context.norm if self.context is not None else "layer"
        return DiTBlock(**choices, cross=cross, cross_norm=norm, mlp_norm_eps=self.mlp_norm_eps)

    def _joint_block(self, index: int, choices: Mapping[str, Any]) -> Component:
        dual, last = self.dual_attention, index == self.depth - 1
        assert self.context is not None  # the other stream
        return JointBlock(
            **choices,
            dual=index < dual if isinstance(dual, int) else index in dual,
            update_context=self.context.update_last or not last,
        )

    def _rotary(self, b: Builder, grid: Value, image: Value, x: Value, context: Value | None) -> Value | None:
        """The angles of every token of the sequence `x`, in which the context, where it is a part, may come first."""
        rule = self.pos_embed
        if not isinstance(rule, Rope):
            return None
        head = self.head_dim or (self.hidden_size / self.num_heads if self.num_heads else 0)
        if head == int(head) != 0 and sum(rule.axes) != head:  # heads that are uneven or missing are the blocks' to say
            b.problem(
                Problem(
                    "NS308",
                    f"the axes of rotary positions add up to {sum(rule.axes)} channels, a head has {head:g}",
                    field="axes",
                    label="must be equal",
                    help=("every channel of a head belongs to one axis",),
                ),
                ("dit", "pos_embed"),
            )
        parts: list[tuple[Literal["ids", "grid", "origin"], Value]] = [
            ("ids", self._ids(b, rule, rule.ids, image, ("dit", "pos_embed", "ids"))) if rule.ids else ("grid", grid)
        ]
        if context is not None and self.context is not None:
            place, ids = 0 if self.context.order == "context_first" else 1, self.context.ids
            if ids is None:
                parts.insert(place, ("origin", context))
            else:
                parts.insert(place, ("ids", self._ids(b, rule, ids, context, ("dit", "context", "ids"))))
        table = RotaryTable(axes=rule.axes, theta=rule.theta, parts=tuple(part for part, _ in parts))
        stage = "image" if context is None else "context"
        return b.add("rotary", table, x, *(place for _, place in parts), at=("dit", "pos_embed"), stage=stage)

    def _ids(self, b: Builder, rule: Rope, name: str, tokens: Value, at: SpecPath) -> Value:
        """The input with the coordinates of `tokens`."""
        value, wanted = b.input(name), tokens.type.wide(len(rule.axes))
        if [size.values for size in value.type.shape] != [size.values for size in wanted.shape]:
            b.problem(
                Problem(
                    "NS313",
                    f"`{name}` is {b.spec.inputs[name]}, coordinates on {len(rule.axes)} axes are {wanted}",
                    label="one row for each token",
                    help=(f"write it with the sizes of the tokens, and a last size of {len(rule.axes)}",),
                ),
                at,
            )
        return value

    def _mask(self, b: Builder, image: Value, context: Value | None) -> Value | None:
        """Which tokens attention sees, where the spec says: of the context, or of the sequence that it is a part of."""
        if context is None or self.context is None or self.context.mask is None:
            return None
        mask = b.mask(self.context.mask, context, ("dit", "context", "mask"))
        if self.context.attention == "cross":
            return mask
        join = AppendMask(order=self.context.order)
        return b.add("append_mask", join, image, mask, at=("dit", "context"), stage="context")

    def _length(self, b: Builder, context: Value) -> Value:
        """A value with as many tokens as the context, and one that is there in any case: the input itself."""
        assert self.context is not None  # its owner
        return b.input(self.context.input) if self.context.input in b.inputs else context

    def _misfits(self, b: Builder) -> None:
        """NS318 for choices that the rest of the network has no place for."""
        joint = self.context is not None and self.context.attention == "joint"
        for field, message, help in self._without_effect(joint):
            b.problem(Problem("NS318", message, field=field, label="not with the rest", help=(help,)), ("dit",))

    def _without_effect(self, joint: bool) -> Iterator[tuple[str, str, str]]:
        """(key, what is wrong, what to do)."""
        rope, context, dual = isinstance(self.pos_embed, Rope), self.context, self.dual_attention
        if self.patch_size is None and not isinstance(self.pos_embed, NoPosition):
            if not isinstance(self.pos_embed, Rope):
                message = f"positions `{self.pos_embed.name}` are those of a patch grid, and the input is a sequence"
                yield "pos_embed", message, "write `pos_embed: none`, or `rope` with `ids`, the coordinates as an input"
            elif self.pos_embed.ids is None:
                message = "a sequence without `ids` has no coordinates for rotary positions"
                yield "pos_embed", message, "add `ids`: the input [batch, tokens, axes] that holds them"
        if context is not None and context.ids is not None and not rope:
            yield (
                "context.ids",
                "coordinates of the context are for rotary positions",
                "write `pos_embed: {type: rope, …}`",
            )
        for field, message, help in context.without_effect() if context is not None else ():
            yield f"context.{field}", message, help
        if self.mlp_norm_eps != 1e-6 and joint:
            yield "mlp_norm_eps", "blocks of two streams have 1e-6 in every norm", "take it out"
        if context is not None and not context.update_last and self.single_depth:
            message = f"the context is read by {self.single_depth} more blocks, and the last joint one must update it"
            yield "context.update_last", message, "write `update_last: true`, or `single_depth: 0`"
        beyond = dual > self.depth if isinstance(dual, int) else any(index >= self.depth for index in dual)
        if dual and not joint:
            yield (
                "dual_attention",
                "a second attention stands beside a joint one",
                "write `context: {attention: joint}`",
            )
        elif beyond:
            message = f"dual_attention names blocks beyond the last of {self.depth}"
            yield "dual_attention", message, f"at most {self.depth}, or indices up to {self.depth - 1}"

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
                return b.add("context", Sequence(), *parts, at=("dit", "context"), stage="context")
            b.lacks_conditioning("context", CONDITIONING, at)
            return None
        tokens, rule = b.context(self.context.input, at), _PROJECTIONS.get(self.context.project)
        if tokens.type.layout != "tokens":
            return None
        if rule is None:
            return tokens
        return b.add("context_embed", rule, tokens, channels=self.hidden_size, at=at, stage="context")


_PROJECTIONS = {"linear": LinearProjection(), "mlp": MlpProjection()}


def _given(*values: Value | None) -> list[Value]:
    """Those that are there."""
    return [value for value in values if value is not None]
