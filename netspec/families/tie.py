"""Weight tying: which weight of the encoder a convolution of the decoder takes."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Annotated

from netspec import tensors
from netspec.blocks import Block
from netspec.blocks.conv import Conv
from netspec.builder import Builder
from netspec.fields import Param
from netspec.plan import Node, Value
from netspec.problems import Problem
from netspec.registry import Component, Record
from netspec.resample import Upsample
from netspec.resample.down_conv import StridedConv
from netspec.resample.up_conv_transpose import TransposedConv
from netspec.wiring.tied import Mode, TiedConv, TiedTransposedConv


class Tie(Record, shorthand="mode"):
    """Decoder convolutions that use the encoder's weights, which are stored, counted and trained once.

    Tied are the `conv` blocks of a level, the decoder's first with the encoder's last and so on, and a `conv_transpose`
    upsampling with the strided `conv` of the same kernel that it undoes; the level above it decides about these two.
    """

    mode: Annotated[
        Mode,
        Param(
            "the encoder's weight transposed, or a learned mix of that and a free one",
            words={
                "transposed": "the encoder's weight, transposed",
                "soft": "a learned mix of that and a weight of its own",
            },
        ),
    ] = "transposed"
    levels: Annotated[
        tuple[int, ...], Param("the rows of `levels` that are tied, from 0; by default all that have a decoder", ge=0)
    ] = ()


class Ties:
    """The tied convolutions of one network, found while it is wired. `decoders` counts the levels with a decoder."""

    def __init__(self, tie: Tie | None, decoders: int, b: Builder) -> None:
        self._tie, self._b = tie, b
        self._place = (b.spec.family.name, "tie")
        self._levels = frozenset(tie.levels or range(decoders)) if tie else frozenset()
        if tie is not None:
            self._check(tie, decoders)

    def _check(self, tie: Tie, decoders: int) -> None:
        """NS322 where a level has nothing to tie."""
        if decoders == 0:
            problem = Problem("NS322", "no level has a decoder half to tie", help=("add a level, or a `mid`",))
            self._b.problem(problem, self._place)
            return
        known = ", ".join(map(str, range(decoders)))
        for index, level in enumerate(tie.levels):
            if level >= decoders:
                message = f"level {level} has no decoder half to tie"
                problem = Problem("NS322", message, help=(f"levels that have one: {known}",))
                self._b.problem(problem, (*self._place, "levels", index))

    def take(
        self, level: int, name: str, rule: Block | Upsample, x: Value, channels: int, mirror: str
    ) -> tuple[Component, tuple[Value, ...]]:
        """What stands at `name` in the decoder of `level`, and the weight that it takes besides its inputs.

        That is `rule` and nothing where it is not tied. Reports NS322 where it should be and cannot.
        """
        if self._tie is None or level not in self._levels:
            return rule, ()
        node = self._encoder.get(mirror)
        if node is None or (tied := _tied(self._tie.mode, rule, node.component)) is None:
            if isinstance(rule, Block):
                self._b.problem(_no_mirror(name, rule), self._place)
            return rule, ()  # also an upsampling that is no transpose of the way down
        maps, mirrored = (x.type.channels, channels), (node.types[0].channels, node.out.channels)
        if maps != mirrored[::-1]:
            self._b.problem(_other_shape(name, maps, mirror, mirrored), self._place)
            return rule, ()
        weight = tensors.weight(*maps, *(tied.kernel,) * len(x.type.sizes))  # its node's (out, in) is (in, out) here
        return tied, (Value(f"{mirror}.conv.weight", weight),)

    @cached_property
    def _encoder(self) -> Mapping[str, Node]:
        """The nodes before the first of the decoder, by name."""
        return {node.name: node for node in self._b.nodes}


def _tied(mode: Mode, rule: Block | Upsample, mirror: Component) -> TiedConv | TiedTransposedConv | None:
    """The tied form of a rule, where there is one and its mirror has the weight."""
    match rule, mirror:
        case Conv(), Conv():
            return TiedConv(mode=mode, block=rule)
        case TransposedConv(kernel=kernel), StridedConv(kernel=same) if kernel == same:
            return TiedTransposedConv(mode=mode, upsample=rule)
    return None


def _no_mirror(name: str, rule: Block) -> Problem:
    if not isinstance(rule, Conv):
        help = ("write `block: conv`, which is one convolution",)
        return Problem("NS322", f"a `{rule.name}` block has no tied form", label="ties single convolutions", help=help)
    message = f"`{name}` has no mirror in the encoder"
    help = ("a skip per block gives the decoder one block more: write `skip: {per: level, merge: add}`",)
    return Problem("NS322", message, label="which weight?", subject=f"`{name}`", help=help)


def _other_shape(name: str, maps: tuple[int, int], mirror: str, mirrored: tuple[int, int]) -> Problem:
    return Problem(
        "NS322",
        f"`{name}` maps {maps[0]} to {maps[1]} channels, its mirror `{mirror}` {mirrored[0]} to {mirrored[1]}",
        label=f"the transpose maps {mirrored[1]} to {mirrored[0]}",
        subject=f"`{name}`",
        help=(
            "halves mirror with `skip: {per: level, merge: add}`, `narrow: this_block` and a stem",
            "or name the levels that do: `tie: {levels: […]}`",
        ),
    )
