"""The autoencoder: an encoder from images to latents, a decoder back; each half can do without the other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

from netspec.blocks import Block
from netspec.errors import SpecPath
from netspec.families import Family
from netspec.families.levels import Level, LevelDecoder, Levelled, Walk
from netspec.fields import Param, choice, settings
from netspec.plan import Value
from netspec.problems import Problem
from netspec.registry import Record
from netspec.tensors import TensorType
from netspec.wiring.head import HeadConv
from netspec.wiring.quant import QuantConv

if TYPE_CHECKING:
    from netspec.builder import Builder
    from netspec.spec import Spec


class Half(Record):
    """Where one half begins and ends."""

    input: Annotated[str, Param("the input that it reads", refers="input")]
    output: Annotated[str, Param("the output that it makes", refers="output")]
    channels: Annotated[
        int | None, Param("channels on its side of `quant`; by default those of the latent's side", ge=1)
    ] = None


class Encoder(Half):
    """Image to latent: the stem, blocks and a halving for each level, the middle, the head, `quant`."""

    input: Annotated[str, Param("the input that holds the image", refers="input")] = "image"
    output: Annotated[str, Param("the output that holds mean and log variance", refers="output")] = "moments"


class Decoder(Half):
    """Latent to image: `quant`, the stem, the middle, blocks and a doubling for each level, the head."""

    input: Annotated[str, Param("the input that holds the latent", refers="input")] = "latent"
    output: Annotated[str, Param("the output that holds the image", refers="output")] = "decoded"


class Autoencoder(Family, Levelled, name="autoencoder"):
    """An encoder to mean and log variance of a latent, and a decoder of latents, without skips between them.

    Kingma & Welling 2014, arXiv:1312.6114; Esser et al. 2021, arXiv:2012.09841; Rombach et al. 2022, arXiv:2112.10752.
    A decoder level has one block more than an encoder level.
    """

    convention = "kl"
    example = "{levels: [32, 64], attention: {num_heads: 1}, mid: {attention: full}}"

    block: Annotated[Block, Param("the block of every level")] = choice("resnet", modulation="none")
    head: Annotated[HeadConv, Param("the end of each half")] = settings()
    quant: Annotated[QuantConv | None, Param("the convolutions between the latent and the halves")] = settings()
    encoder: Annotated[Encoder | None, Param("the half that makes latents")] = settings()
    decoder: Annotated[Decoder | None, Param("the half that reads latents")] = settings()

    @property
    def halves(self) -> tuple[Half, ...]:
        """The halves that the network has."""
        return tuple(half for half in (self.encoder, self.decoder) if half is not None)

    def mains(self, spec: Spec, inputs: Mapping[str, TensorType]) -> list[str]:
        """The inputs of the halves."""
        return [half.input for half in self.halves]

    def makes(self, spec: Spec) -> list[str]:
        return [half.output for half in self.halves]

    def lower(self, b: Builder) -> Mapping[str, Value]:
        made: dict[str, Value] = {}
        if self.encoder is not None:
            made[self.encoder.output] = _Wiring(self, b, "encoder").encode(self.encoder)
        if self.decoder is not None:
            made[self.decoder.output] = _Wiring(self, b, "decoder").decode(self.decoder)
        return made


class _Wiring(Walk[Autoencoder]):
    """The way through one half."""

    def encode(self, half: Half) -> Value:
        x, family = self.b.input(half.input), self.family
        if not self.check_widths():
            return x  # every width below would be a guess
        x = self._stem(x, 0)
        for index, level in enumerate(family.levels):
            x = self._level(f"down_{index}", x, index, self.blocks(level), level, ("levels", index))
            if index + 1 < len(family.levels):
                x = self.resample(f"down_{index}_downsample", family.downsample, x, "downsample", f"down {index}")
        if family.mid is not None:
            x = self.middle(x, family.mid)
        outside = self.b.channels(half.output)
        x = self._head(x, self._inside(half, outside))
        return self._quant(x, outside)

    def decode(self, half: Half) -> Value:
        x, family = self.b.input(half.input), self.family
        if not self.check_widths():
            return x
        deepest = len(family.levels) - 1
        x = self._quant(x, self._inside(half, x.type.channels))
        x = self._stem(x, deepest)
        if family.mid is not None:
            x = self.middle(x, family.mid)
        for index in reversed(range(len(family.levels))):
            row, at = self.upward(index)
            x = self._level(f"up_{index}", x, index, self.blocks(family.levels[index]) + 1, row, at)
            if index:
                x = self.resample(f"up_{index}_upsample", family.upsample, x, "upsample", f"up {index}")
        return self._head(x, self.b.channels(half.output))

    def _level(self, where: str, x: Value, index: int, count: int, row: Level | LevelDecoder, at: SpecPath) -> Value:
        stage = where.replace("_", " ")
        for i in range(count):
            x = self.block(f"{where}_block_{i}", x, self.width(index), ("levels", index), stage)
            x = self.attend(where, i, count, x, row, at, stage)
        return x

    def _stem(self, x: Value, index: int) -> Value:
        stem = self.family.stem
        return self.add("stem", stem, x, channels=self.width(index), at=("stem",), stage="stem") if stem else x

    def _head(self, x: Value, channels: int) -> Value:
        return self.add("head", self.family.head, x, channels=channels, at=("head",), stage="head")

    def _quant(self, x: Value, channels: int) -> Value:
        quant = self.family.quant
        return self.add("quant", quant, x, channels=channels, at=("quant",), stage="quant") if quant else x

    def _inside(self, half: Half, outside: int) -> int:
        """The channels on the network's side of `quant`."""
        if half.channels is not None and self.family.quant is None:
            help = ("take `channels` out, or `quant: none`",)
            message, label = "there is no `quant` to change the channels", "those of the latent's side hold"
            problem = Problem("NS318", message, field="channels", label=label, help=help)
            self.b.problem(problem, (self.key, self.part))
            return outside
        return half.channels or outside
