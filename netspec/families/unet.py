"""The U-Net: an encoder that halves, a decoder that doubles, skips between them."""

from __future__ import annotations

from typing import Annotated, Literal

from netspec.builder import Builder
from netspec.errors import SpecPath
from netspec.families import Denoiser
from netspec.families.levels import Levelled, Walk
from netspec.families.tie import Tie, Ties
from netspec.fields import Param, settings
from netspec.plan import Value
from netspec.registry import Record
from netspec.wiring.head import HeadConv
from netspec.wiring.join import Add, Concat


class Skip(Record, shorthand="merge"):
    """How encoder outputs reach the decoder."""

    per: Annotated[
        Literal["block", "level"],
        Param(
            "one skip for every block and resampling, or one for each level",
            words={"block": "one for every block and every resampling", "level": "one for each level"},
        ),
    ] = "block"
    merge: Annotated[
        Literal["concat", "add"],
        Param("how a skip joins the decoder", words={"concat": "side by side, as more channels", "add": "summed"}),
    ] = "concat"
    order: Annotated[
        Literal["decoder_first", "skip_first"],
        Param(
            "whose channels come first in a concat",
            words={"decoder_first": "the decoder's", "skip_first": "the skip's"},
        ),
    ] = "decoder_first"
    crop: Annotated[
        Literal["none", "center"],
        Param(
            "cut a larger skip down to the decoder's size",
            words={"none": "sizes must be equal", "center": "its margins are cut off"},
        ),
    ] = "none"
    pad: Annotated[
        Literal["none", "center"],
        Param(
            "give the decoder zeros around it up to a larger skip's size",
            words={"none": "sizes must be equal", "center": "zeros on all sides"},
        ),
    ] = "none"
    scale: Annotated[float, Param("factor of the skip", gt=0)] = 1.0


class UNet(Denoiser, Levelled, name="unet"):
    """A U-Net with blocks, attention and resampling of any registered kind.

    Ronneberger et al. 2015, arXiv:1505.04597; as a denoiser Ho et al. 2020, arXiv:2006.11239; Rombach et al. 2022,
    arXiv:2112.10752. Defaults are those of latent diffusion.
    """

    convention = "ldm"
    example = "{levels: [32, 64], blocks_per_level: 1}"

    head: Annotated[HeadConv, Param("the end, down to the output's channels")] = settings()
    skip: Annotated[Skip | None, Param("from encoder to decoder")] = settings()
    narrow: Annotated[
        Literal["next_block", "upsample", "this_block"],
        Param(
            "where the decoder drops from the deeper level's width: in the first block after upsampling, "
            "in the upsampling, or in the last block before it",
            words={
                "next_block": "in the first block after upsampling",
                "upsample": "in the upsampling",
                "this_block": "in the last block before upsampling",
            },
        ),
    ] = "next_block"
    tie: Annotated[Tie | None, Param("decoder convolutions that use the encoder's weights")] = None

    def denoise(self, b: Builder, x: Value, channels: int) -> Value:
        return _Wiring(self, b).lower(x, channels)


class _Wiring(Walk[UNet]):
    """The walk down and up again, with the skips that are open."""

    def __init__(self, unet: UNet, b: Builder) -> None:
        super().__init__(unet, b)
        self.skips: list[Value] = []
        self.ties = Ties(unet.tie, len(unet.levels) - self._bottleneck, b)

    def lower(self, x: Value, channels: int) -> Value:
        unet = self.family
        if not self.check_widths():
            return x  # every width below would be a guess
        if unet.stem is not None:
            x = self.add("stem", unet.stem, x, channels=self.width(0), at=("stem",), stage="stem")
        self._save(x, "block")  # without a stem the image itself is the first skip
        for index in range(len(unet.levels)):
            x = self._down(x, index)
        if unet.mid is not None:
            x = self.middle(x, unet.mid)
        for index in reversed(range(len(unet.levels))):
            if not (self._bottleneck and index == len(unet.levels) - 1):
                x = self._up(x, index)
            if index:
                x = self._upsample(x, index)
        return self.add("head", unet.head, x, channels=channels, at=("head",), stage="head")

    @property
    def _bottleneck(self) -> bool:
        """With a skip per level and no mid, the deepest level is the middle: it has no decoder half."""
        return self.family.mid is None and (self.family.skip is None or self.family.skip.per == "level")

    def _down(self, x: Value, index: int) -> Value:
        level, last = self.family.levels[index], index == len(self.family.levels) - 1
        at: SpecPath = ("levels", index)
        count, stage = self.blocks(level), f"down {index}"
        for i in range(count):
            x = self.block(f"down_{index}_block_{i}", x, self.width(index), at, stage)
            x = self.attend(f"down_{index}", i, count, x, level, at, stage)
            self._save(x, "block")
        if not (last and self._bottleneck):
            self._save(x, "level")
        if not last:
            x = self.resample(f"down_{index}_downsample", self.family.downsample, x, "downsample", stage)
            self._save(x, "block")
        return x

    def _up(self, x: Value, index: int) -> Value:
        unet, level = self.family, self.family.levels[index]
        row, at = self.upward(index)
        per_block = unet.skip is not None and unet.skip.per == "block"
        count, stage = self.blocks(level) + per_block, f"up {index}"
        for i in range(count):
            if unet.skip is not None and (per_block or i == 0):
                x = self._join(f"up_{index}_skip_{i}", x, unet.skip, stage)
            narrows = unet.narrow == "this_block" and i + 1 == count and index > 0
            mirror = f"down_{index}_block_{count - 1 - i}"
            x = self._decode(f"up_{index}_block_{i}", x, self.width(index - narrows), index, mirror)
            x = self.attend(f"up_{index}", i, count, x, row, at, stage)
        return x

    def _upsample(self, x: Value, index: int) -> Value:
        """To the size of the level above."""
        name, stage, up = f"up_{index}_upsample", f"up {index}", self.family.upsample
        width = self.width(index - 1) if self.family.narrow == "upsample" else None
        rule, weight = self.ties.take(index - 1, name, up, x, width or x.type.channels, f"down_{index - 1}_downsample")
        if weight:
            return self.add(name, rule, x, *weight, channels=width, at=("upsample",), stage=stage)
        return self.resample(name, up, x, "upsample", stage, width)

    def _decode(self, name: str, x: Value, channels: int, index: int, mirror: str) -> Value:
        """A block of a level's decoder half; `mirror` is the encoder's block that it may share its weight with."""
        block, at = self.family.block, ("levels", index)
        rule, weight = self.ties.take(index, name, block, x, channels, mirror)
        inputs = (x, *weight, *self.told(block))
        return self.add(name, rule, *inputs, channels=channels, at=("block",), near=at, stage=f"up {index}")

    def _join(self, name: str, x: Value, skip: Skip, stage: str) -> Value:
        encoded = self.skips.pop()
        match skip.merge:
            case "concat":
                rule: Concat | Add = Concat(crop=skip.crop, pad=skip.pad, scale=skip.scale, order=skip.order)
            case "add":
                rule = Add(crop=skip.crop, pad=skip.pad, scale=skip.scale)
        return self.add(name, rule, x, encoded, at=("skip",), stage=stage)

    def _save(self, x: Value, per: Literal["block", "level"]) -> None:
        if self.family.skip is not None and self.family.skip.per == per:
            self.skips.append(x)
