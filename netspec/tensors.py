"""Types of the values that flow between nodes: layouts, symbolic sizes and their ranges. No torch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from fractions import Fraction
from math import prod
from typing import Literal

Layout = Literal["image", "tokens", "vector", "index"]
Point = Literal["min", "opt", "max"]
Number = int | Fraction

_POINT: dict[Point, int] = {"min": 0, "opt": 1, "max": 2}


@dataclass(frozen=True, slots=True)
class Size:
    """One size of a tensor: `factor * symbols + offset`, known at the min, opt and max of its symbols.

    `symbols` are names of `dims` (two after patchify: height, width; none for a fixed size). A value that is no whole
    number marks a spec whose sizes do not divide; `planner.py` reports it.
    """

    symbols: tuple[str, ...]
    factor: Fraction
    offset: Fraction
    values: tuple[Number, Number, Number]

    @property
    def opt(self) -> int:
        return int(self.values[1])

    @property
    def fixed(self) -> bool:
        return not self.symbols

    @property
    def whole(self) -> bool:
        return all(value == int(value) and value > 0 for value in self.values)

    def at(self, point: Point) -> int:
        return int(self.values[_POINT[point]])

    def evaluate(self, env: dict[str, int]) -> Number:
        """The value where each symbol has the size that `env` gives it."""
        return _plain(self.factor * prod(env[symbol] for symbol in self.symbols) + self.offset)

    def __add__(self, other: Number) -> Size:
        return Size(self.symbols, self.factor, self.offset + other, _each(v + other for v in self.values))

    def __sub__(self, other: Number) -> Size:
        return self + (-other)

    def __mul__(self, other: Number) -> Size:
        return Size(self.symbols, self.factor * other, self.offset * other, _each(v * other for v in self.values))

    def __truediv__(self, other: Number) -> Size:
        return self * Fraction(1, other) if isinstance(other, int) else self * (1 / other)

    def __str__(self) -> str:
        if self.fixed:
            return str(self.values[1])
        text = "*".join(self.symbols)
        if self.factor.numerator != 1:
            text = f"{self.factor.numerator}*{text}"
        if self.factor.denominator != 1:
            text = f"{text}/{self.factor.denominator}"
        if self.offset:
            text += f" {'+' if self.offset > 0 else '-'} {abs(self.offset)}"
        return text


def fixed(value: int) -> Size:
    """A size that is the same for every input."""
    return Size((), Fraction(0), Fraction(value), (value, value, value))


def symbolic(name: str, low: int, opt: int, high: int) -> Size:
    """A size named in `dims`."""
    return Size((name,), Fraction(1), Fraction(0), (low, opt, high))


def product(sizes: Iterable[Size]) -> Size:
    """The number of positions on a grid, as one size: height/2 times width/2 is height*width/4."""
    first, *rest = sizes
    for size in rest:
        values = _each(a * b for a, b in zip(first.values, size.values, strict=True))
        if size.fixed:
            first = replace(first * size.values[1], values=values)
        elif first.fixed:
            first = replace(size * first.values[1], values=values)
        else:  # both vary: a grid of patches, which has no offsets
            first = Size(first.symbols + size.symbols, first.factor * size.factor, Fraction(0), values)
    return first


def _plain(value: Number) -> Number:
    return int(value) if value == int(value) else value


def _each(values: Iterable[Number]) -> tuple[Number, Number, Number]:
    low, opt, high = (_plain(value) for value in values)
    return low, opt, high


@dataclass(frozen=True, slots=True)
class TensorType:
    """A tensor between two nodes.

    image: (batch, channels, *sizes); tokens: (batch, sizes[0], channels); vector: (batch, channels); index: (batch,).
    """

    layout: Layout
    batch: Size
    channels: int = 0
    sizes: tuple[Size, ...] = ()
    dtype: str = ""  # "" is the build's precision; else a fixed one, such as int64 for labels

    @property
    def shape(self) -> tuple[Size, ...]:
        """The sizes in PyTorch's order."""
        match self.layout:
            case "image":
                return (self.batch, fixed(self.channels), *self.sizes)
            case "tokens":
                return (self.batch, *self.sizes, fixed(self.channels))
            case "vector":
                return (self.batch, fixed(self.channels))
            case "index":
                return (self.batch,)

    @property
    def positions(self) -> int:
        """Pixels or tokens of one sample at `opt`: 1 for a vector."""
        return prod(size.opt for size in self.sizes)

    @property
    def elements(self) -> int:
        """Numbers in the tensor at `opt`, the whole batch."""
        return self.batch.opt * self.positions * max(self.channels, 1)

    def wide(self, channels: int) -> TensorType:
        """The same tensor with another number of channels."""
        return replace(self, channels=channels)

    def sized(self, sizes: Iterable[Size]) -> TensorType:
        """The same tensor on another grid."""
        return replace(self, sizes=tuple(sizes))

    def __str__(self) -> str:
        return "(" + ", ".join(str(size) for size in self.shape) + ")"


def image(batch: Size, channels: int, *sizes: Size) -> TensorType:
    """(N, C, H, W): sizes are height and width."""
    return TensorType("image", batch, channels, sizes)


def tokens(batch: Size, count: Size, channels: int) -> TensorType:
    """(N, T, C)."""
    return TensorType("tokens", batch, channels, (count,))


def vector(batch: Size, channels: int) -> TensorType:
    """(N, C)."""
    return TensorType("vector", batch, channels)
