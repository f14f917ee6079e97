"""What families of levels share: one row per resolution, and the walk that puts blocks and attention into it."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Annotated, Generic, TypeVar

from netspec.attention import Attention, Transformer
from netspec.blocks import Block
from netspec.builder import Builder
from netspec.errors import SpecPath
from netspec.fields import Param, choice, settings
from netspec.plan import Value
from netspec.problems import Problem
from netspec.registry import Component, Record
from netspec.resample import Downsample, Upsample
from netspec.wiring.stem import StemConv


class LevelDecoder(Record):
    """What stands after a level's blocks on the way up."""

    attention: Annotated[Attention | None, Param("self-attention after the blocks", inherits="attention")] = None
    transformer: Annotated[
        Transformer | None, Param("a transformer after the blocks; a number is its depth", inherits="transformer")
    ] = None


class Level(Record, shorthand="channels"):
    """One resolution: a row of `levels`, full resolution first."""

    channels: Annotated[int | None, Param("channels of this level", ge=1, example=320)] = None
    multiplier: Annotated[float | None, Param("channels as a multiple of base_channels", gt=0, le=1024, example=2)] = (
        None
    )
    blocks: Annotated[
        int | None, Param("blocks of this level, where it differs from blocks_per_level", ge=1, le=256, example=3)
    ] = None
    attention: Annotated[Attention | None, Param("self-attention after the blocks", inherits="attention")] = None
    transformer: Annotated[
        Transformer | None, Param("a transformer after the blocks; a number is its depth", inherits="transformer")
    ] = None
    decoder: Annotated[
        LevelDecoder | None, Param("attention and transformer on the way up, where they are not those of the way down")
    ] = None


class Mid(Record):
    """The blocks between encoder and decoder, at the deepest level's size; attention after each but the last, and
    after the only one."""

    blocks: Annotated[int, Param("number of blocks", ge=1, le=256)] = 2
    attention: Annotated[Attention | None, Param("self-attention between the blocks", inherits="attention")] = None
    transformer: Annotated[
        Transformer | None, Param("a transformer between the blocks; a number is its depth", inherits="transformer")
    ] = None


class Levelled(Record):
    """The choices of a network whose parts stand in levels of one resolution each."""

    base_channels: Annotated[
        int | None, Param("the width that every level's multiplier multiplies", ge=1, example=128)
    ] = None
    levels: Annotated[tuple[Level, ...], Param("one row per resolution, full resolution first")]
    blocks_per_level: Annotated[int, Param("blocks of each encoder level", ge=1, le=256)] = 2
    block: Annotated[Block, Param("the block of every level")] = choice("resnet")
    attention: Annotated[Attention, Param("settings that every `attention` of a level starts from")] = choice("full")
    transformer: Annotated[Transformer, Param("settings that every `transformer` of a level starts from")] = choice(
        "spatial"
    )
    mid: Annotated[Mid | None, Param("the blocks between encoder and decoder, at the deepest level's size")] = (
        settings()
    )
    stem: Annotated[StemConv | None, Param("the first convolution")] = settings()
    downsample: Annotated[Downsample, Param("between a level and the next")] = choice("conv")
    upsample: Annotated[Upsample, Param("between a level and the one above")] = choice("nearest")

    def width_of(self, level: Level) -> int:
        """The channels of a row."""
        return level.channels or max(1, int(self.product_of(level) or 1))

    def product_of(self, level: Level) -> Fraction | None:
        """multiplier x base_channels, exactly as written: 0.29 x 100 is 29, which floats miss."""
        base = self.base_channels
        return Fraction(str(level.multiplier)) * base if level.multiplier and base else None


F = TypeVar("F", bound=Levelled)


class Walk(Generic[F]):
    """One way through the levels. Holds what the way carries: the family's choices, the builder and the vector.

    `part` is the half of the network that the way belongs to, for names of nodes and stages; "" where there is one.
    """

    def __init__(self, family: F, b: Builder, part: str = "") -> None:
        self.family, self.b, self.part = family, b, part
        self.key = b.spec.family.name
        self.vector = b.vector(b.natural_width() or 4 * self.width(0))

    def add(
        self,
        name: str,
        rule: Component,
        *inputs: Value,
        channels: int | None = None,
        at: SpecPath,
        near: SpecPath | None = None,
        stage: str,
    ) -> Value:
        """Append a node; `at` and `near` are paths below the family."""
        if self.part:
            name, stage = f"{self.part}_{name}", f"{self.part} {stage}"
        where = None if near is None else (self.key, *near)
        return self.b.add(name, rule, *inputs, channels=channels, at=(self.key, *at), near=where, stage=stage)

    def block(self, name: str, x: Value, channels: int, at: SpecPath, stage: str) -> Value:
        """One block of the row at `at`."""
        block = self.family.block
        return self.add(name, block, x, *self.told(block), channels=channels, at=("block",), near=at, stage=stage)

    def attend(
        self, where: str, i: int, count: int, x: Value, row: Level | LevelDecoder | Mid, at: SpecPath, stage: str
    ) -> Value:
        """What the row has after its `i`-th of `count` blocks."""
        if row.attention is not None and (row.attention.per == "block" or i + 1 == count):
            x = self.add(f"{where}_attn_{i}", row.attention, x, at=(*at, "attention"), near=at, stage=stage)
        if row.transformer is not None and (depth := self._depth(row.transformer, i, count, at, stage)):
            rule, context = replace(row.transformer, depth=depth), row.transformer.context
            tokens = [self.b.context(context, (self.key, *at, "transformer", "context"))] if context else []
            x = self.add(f"{where}_transformer_{i}", rule, x, *tokens, at=(*at, "transformer"), near=at, stage=stage)
        return x

    def _depth(self, transformer: Transformer, i: int, count: int, at: SpecPath, stage: str) -> int:
        """The depth of a row's `i`-th stack. NS323, once, where the row lists another number of them."""
        depths = transformer.stacks(count)
        if len(depths) == count:
            return depths[i]
        if i == 0:
            message = f"`depth` is a list of length {len(depths)}, `{stage}` needs one of length {count}"
            own = at[0] == "levels" and at[-1] != "decoder"
            help = ("a list for the way up is `decoder: {transformer: {depth: [...]}}` in the row",) if own else ()
            problem = Problem("NS323", message, field="depth", label="a number for each stack", help=help)
            self.b.problem(problem, (self.key, *at, "transformer"))
        return max(depths, default=0)

    def upward(self, index: int) -> tuple[Level | LevelDecoder, SpecPath]:
        """What stands after a level's blocks on the way up, and where that is written."""
        level, at = self.family.levels[index], ("levels", index)
        return (level, at) if level.decoder is None else (level.decoder, (*at, "decoder"))

    def middle(self, x: Value, mid: Mid) -> Value:
        """The blocks at the deepest level's size."""
        count = max(1, mid.blocks - 1)
        for i in range(mid.blocks):
            x = self.block(f"mid_block_{i}", x, x.type.channels, ("mid",), "mid")
            if i < count:
                x = self.attend("mid", i, count, x, mid, ("mid",), "mid")
        return x

    def resample(
        self, name: str, rule: Downsample | Upsample, x: Value, key: str, stage: str, channels: int | None = None
    ) -> Value:
        """From one resolution to another."""
        inner = getattr(rule, "block", None)  # a residual block inside takes the vector as every other does
        told = self.told(inner) if isinstance(inner, Block) else []
        return self.add(name, rule, x, *told, channels=channels, at=(key,), stage=stage)

    def told(self, block: Block) -> list[Value]:
        """The conditioning vector, for a block that it modulates; its lack is the block's own complaint."""
        return [self.vector] if self.vector is not None and block.modulation != "none" else []

    def blocks(self, level: Level) -> int:
        """The number of blocks of a level's encoder side."""
        return level.blocks or self.family.blocks_per_level

    def width(self, index: int) -> int:
        """The channels of a level."""
        return self.family.width_of(self.family.levels[index])

    def check_widths(self) -> bool:
        """NS311 for every level whose width is not said, said twice, or no whole number. True where there is none."""
        sound, base, levels = True, self.family.base_channels, self.family.levels
        lone = [index for index, level in enumerate(levels) if level.multiplier and not base]
        for index, level in enumerate(levels):
            width = self.family.product_of(level)
            if level.channels and level.multiplier:
                problem = Problem("NS311", f"level {index} has channels and a multiplier", label="write one of them")
            elif level.channels is None and level.multiplier is None:
                help = (f"write `channels: 64`, or `multiplier: 2` of `{self.key}.base_channels`",)
                problem = Problem("NS311", f"level {index} has no width", label="how many channels?", help=help)
            elif [index] == lone[:1]:  # one key is missing, however many levels want it
                message = f"a multiplier needs `{self.key}.base_channels`"
                help = (f"add `base_channels: 64` to `{self.key}`, or write `channels` in every row",)
                problem = Problem("NS311", message, field="multiplier", label="times how many channels?", help=help)
            elif width is not None and width.denominator != 1:
                message = f"{level.multiplier:g} x {base} is no whole number of channels"
                problem = Problem("NS311", message, field="multiplier", label=f"= {float(width):g}")
            else:
                continue
            sound = False
            self.b.problem(problem, (self.key, "levels", index))
        return sound
