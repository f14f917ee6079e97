"""The U-Net: an encoder that halves, a decoder that doubles, skips between them."""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated, Literal

from netspec.attention import Attention, Transformer
from netspec.blocks import Block
from netspec.builder import Builder
from netspec.errors import SpecPath
from netspec.families import Denoiser
from netspec.fields import Param, choice, settings
from netspec.plan import Value
from netspec.problems import Problem
from netspec.registry import Record
from netspec.resample import Downsample, Upsample
from netspec.wiring.head import HeadConv
from netspec.wiring.join import Add, Concat
from netspec.wiring.stem import StemConv


class Level(Record, shorthand="channels"):
    """One resolution: a row of `unet.levels`, full resolution first."""

    channels: Annotated[int | None, Param("channels of this level", ge=1)] = None
    multiplier: Annotated[float | None, Param("channels as a multiple of unet.base_channels", gt=0, le=1024)] = None
    blocks: Annotated[
        int | None, Param("blocks of this level, where it differs from blocks_per_level", ge=1, le=256)
    ] = None
    attention: Annotated[Attention | None, Param("self-attention after the blocks", inherits="attention")] = None
    transformer: Annotated[
        Transformer | None, Param("a transformer after the blocks; a number is its depth", inherits="transformer")
    ] = None


class Mid(Record):
    """The blocks between encoder and decoder, at the deepest level's size; attention after each but the last, and
    after the only one."""

    blocks: Annotated[int, Param("number of blocks", ge=1, le=256)] = 2
    attention: Annotated[Attention | None, Param("self-attention between the blocks", inherits="attention")] = None
    transformer: Annotated[
        Transformer | None, Param("a transformer between the blocks; a number is its depth", inherits="transformer")
    ] = None


class Skip(Record, shorthand="merge"):
    """How encoder outputs reach the decoder."""

    per: Annotated[
        Literal["block", "level"], Param("one skip for every block and resampling, or one for each level")
    ] = "block"
    merge: Annotated[Literal["concat", "add"], Param("how a skip joins the decoder")] = "concat"
    order: Annotated[Literal["decoder_first", "skip_first"], Param("whose channels come first in a concat")] = (
        "decoder_first"
    )
    crop: Annotated[Literal["none", "center"], Param("cut a larger skip down to the decoder's size")] = "none"
    scale: Annotated[float, Param("factor of the skip", gt=0)] = 1.0


class UNet(Denoiser, name="unet"):
    """A U-Net with blocks, attention and resampling of any registered kind.

    Ronneberger et al. 2015, arXiv:1505.04597; as a denoiser Ho et al. 2020, arXiv:2006.11239; Rombach et al. 2022,
    arXiv:2112.10752. Defaults are those of latent diffusion.
    """

    convention = "ldm"
    example = "{levels: [32, 64], blocks_per_level: 1}"

    base_channels: Annotated[int | None, Param("the width that every level's multiplier multiplies", ge=1)] = None
    levels: Annotated[tuple[Level, ...], Param("one row per resolution, full resolution first")]
    blocks_per_level: Annotated[int, Param("blocks of each encoder level", ge=1, le=256)] = 2
    block: Annotated[Block, Param("the block of every level")] = choice("resnet")
    attention: Annotated[Attention, Param("settings that every `attention` of a level starts from")] = choice("full")
    transformer: Annotated[Transformer, Param("settings that every `transformer` of a level starts from")] = choice(
        "spatial"
    )
    mid: Annotated[Mid | None, Param("the blocks between encoder and decoder")] = settings()
    stem: Annotated[StemConv | None, Param("the first convolution")] = settings()
    head: Annotated[HeadConv, Param("the end, down to the output's channels")] = settings()
    downsample: Annotated[Downsample, Param("between a level and the next")] = choice("conv")
    upsample: Annotated[Upsample, Param("between a level and the one above")] = choice("nearest")
    skip: Annotated[Skip | None, Param("from encoder to decoder")] = settings()
    narrow: Annotated[
        Literal["next_block", "upsample", "this_block"],
        Param(
            "where the decoder drops from the deeper level's width: in the first block after upsampling, "
            "in the upsampling, or in the last block before it"
        ),
    ] = "next_block"

    def denoise(self, b: Builder, x: Value, channels: int) -> Value:
        return _Wiring(self, b).lower(x, channels)


class _Wiring:
    """The walk down and up again. Holds what the walk carries: the builder, the vector and the open skips."""

    def __init__(self, unet: UNet, b: Builder) -> None:
        self.unet, self.b = unet, b
        self.vector = b.vector(b.natural_width() or 4 * self._width(0))
        self.skips: list[Value] = []

    def lower(self, x: Value, channels: int) -> Value:
        unet, b = self.unet, self.b
        if not self._check_widths():
            return x  # every width below would be a guess
        if unet.stem is not None:
            x = b.add("stem", unet.stem, x, channels=self._width(0), at=("unet", "stem"), stage="stem")
        self._save(x, "block")  # without a stem the image itself is the first skip
        for index in range(len(unet.levels)):
            x = self._down(x, index)
        if unet.mid is not None:
            x = self._mid(x, unet.mid)
        for index in reversed(range(len(unet.levels))):
            if not (self._bottleneck and index == len(unet.levels) - 1):
                x = self._up(x, index)
            if index:
                x = self._upsample(x, index)
        return b.add("head", unet.head, x, channels=channels, at=("unet", "head"), stage="head")

    @property
    def _bottleneck(self) -> bool:
        """With a skip per level and no mid, the deepest level is the middle: it has no decoder half."""
        return self.unet.mid is None and (self.unet.skip is None or self.unet.skip.per == "level")

    def _down(self, x: Value, index: int) -> Value:
        level, last = self.unet.levels[index], index == len(self.unet.levels) - 1
        at: SpecPath = ("unet", "levels", index)
        count, stage = self._blocks(level), f"down {index}"
        for i in range(count):
            x = self._block(f"down_{index}_block_{i}", x, self._width(index), at, stage)
            x = self._attend(f"down_{index}", i, count, x, level, at, stage)
            self._save(x, "block")
        if not (last and self._bottleneck):
            self._save(x, "level")
        if not last:
            x = self._resample(f"down_{index}_downsample", self.unet.downsample, x, None, "downsample", stage)
            self._save(x, "block")
        return x

    def _mid(self, x: Value, mid: Mid) -> Value:
        count = max(1, mid.blocks - 1)
        for i in range(mid.blocks):
            x = self._block(f"mid_block_{i}", x, x.type.channels, ("unet", "mid"), "mid")
            if i < count:
                x = self._attend("mid", i, count, x, mid, ("unet", "mid"), "mid")
        return x

    def _up(self, x: Value, index: int) -> Value:
        unet, level = self.unet, self.unet.levels[index]
        at: SpecPath = ("unet", "levels", index)
        per_block = unet.skip is not None and unet.skip.per == "block"
        count, stage = self._blocks(level) + per_block, f"up {index}"
        for i in range(count):
            if unet.skip is not None and (per_block or i == 0):
                x = self._join(f"up_{index}_skip_{i}", x, unet.skip, stage)
            narrows = unet.narrow == "this_block" and i + 1 == count and index > 0
            x = self._block(f"up_{index}_block_{i}", x, self._width(index - narrows), at, stage)
            x = self._attend(f"up_{index}", i, count, x, level, at, stage)
        return x

    def _upsample(self, x: Value, index: int) -> Value:
        width = self._width(index - 1) if self.unet.narrow == "upsample" else None
        return self._resample(f"up_{index}_upsample", self.unet.upsample, x, width, "upsample", f"up {index}")

    def _block(self, name: str, x: Value, channels: int, at: SpecPath, stage: str) -> Value:
        block = self.unet.block
        told = self._told(block)
        return self.b.add(name, block, x, *told, channels=channels, at=("unet", "block"), near=at, stage=stage)

    def _attend(self, where: str, i: int, count: int, x: Value, row: Level | Mid, at: SpecPath, stage: str) -> Value:
        b = self.b
        if row.attention is not None and (row.attention.per == "block" or i + 1 == count):
            x = b.add(f"{where}_attn_{i}", row.attention, x, at=(*at, "attention"), near=at, stage=stage)
        if row.transformer is not None and row.transformer.depth:
            context = row.transformer.context
            tokens = [b.context(context, (*at, "transformer", "context"))] if context else []
            x = b.add(
                f"{where}_transformer_{i}", row.transformer, x, *tokens, at=(*at, "transformer"), near=at, stage=stage
            )
        return x

    def _resample(
        self, name: str, rule: Downsample | Upsample, x: Value, channels: int | None, key: str, stage: str
    ) -> Value:
        inner = getattr(rule, "block", None)  # a residual block inside takes the vector as every other does
        told = self._told(inner) if isinstance(inner, Block) else []
        return self.b.add(name, rule, x, *told, channels=channels, at=("unet", key), stage=stage)

    def _told(self, block: Block) -> list[Value]:
        """The conditioning vector, for a block that it modulates; its lack is the block's own complaint."""
        return [self.vector] if self.vector is not None and block.modulation != "none" else []

    def _join(self, name: str, x: Value, skip: Skip, stage: str) -> Value:
        encoded = self.skips.pop()
        match skip.merge:
            case "concat":
                rule: Concat | Add = Concat(crop=skip.crop, scale=skip.scale, order=skip.order)
            case "add":
                rule = Add(crop=skip.crop, scale=skip.scale)
        return self.b.add(name, rule, x, encoded, at=("unet", "skip"), stage=stage)

    def _save(self, x: Value, per: Literal["block", "level"]) -> None:
        if self.unet.skip is not None and self.unet.skip.per == per:
            self.skips.append(x)

    def _blocks(self, level: Level) -> int:
        return level.blocks or self.unet.blocks_per_level

    def _width(self, index: int) -> int:
        level = self.unet.levels[index]
        return level.channels or max(1, int(self._product(level) or 1))

    def _product(self, level: Level) -> Fraction | None:
        """multiplier x base_channels, exactly as written: 0.29 x 100 is 29, which floats miss."""
        base = self.unet.base_channels
        return Fraction(str(level.multiplier)) * base if level.multiplier and base else None

    def _check_widths(self) -> bool:
        """NS311 for every level whose width is not said, said twice, or no whole number. True where there is none."""
        sound, base = True, self.unet.base_channels
        lone = [index for index, level in enumerate(self.unet.levels) if level.multiplier and not base]
        for index, level in enumerate(self.unet.levels):
            width = self._product(level)
            if level.channels and level.multiplier:
                problem = Problem("NS311", f"level {index} has channels and a multiplier", label="write one of them")
            elif level.channels is None and level.multiplier is None:
                help = ("write `channels: 64`, or `multiplier: 2` of `unet.base_channels`",)
                problem = Problem("NS311", f"level {index} has no width", label="how many channels?", help=help)
            elif [index] == lone[:1]:  # one key is missing, however many levels want it
                message = "a multiplier needs `unet.base_channels`"
                help = ("add `base_channels: 64` to `unet`, or write `channels` in every row",)
                problem = Problem("NS311", message, field="multiplier", label="times how many channels?", help=help)
            elif width is not None and width.denominator != 1:
                message = f"{level.multiplier:g} x {base} is no whole number of channels"
                problem = Problem("NS311", message, field="multiplier", label=f"= {float(width):g}")
            else:
                continue
            sound = False
            self.b.problem(problem, ("unet", "levels", index))
        return sound
