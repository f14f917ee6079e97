"""Types of the values that flow between nodes: layouts, symbolic sizes and their ranges. No torch."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from math import prod
from typing import Literal, TypeAlias

Layout = Literal["image", "tokens", "vector", "index", "mask", "weight"]
Point = Literal["min", "opt", "max"]
Number = int | Fraction

_POINT: dict[Point, int] = {"min": 0, "opt": 1, "max": 2}


@dataclass(frozen=True, slots=True)
class Floor:
    """The whole part of `size / divisor`, as a symbol of its own: what max pooling leaves of an odd size."""

    size: Size
    divisor: int

    def evaluate(self, env: Mapping[str, int]) -> Number:
        return self.size.evaluate(env) // self.divisor

    def __str__(self) -> str:
        return f"({self.size} // {self.divisor})"


Symbol: TypeAlias = "str | Floor"
Term: TypeAlias = "tuple[tuple[Symbol, ...], Fraction]"  # a product of symbols, and its factor


@dataclass(frozen=True, slots=True)
class Size:
    """One size of a tensor: a sum of `factor * symbols`, plus `offset`, known at the min, opt and max of its symbols.

    Symbols are names of `dims` (two in a term after patchify: height, width; no term at all in a fixed size). A value
    that is no whole number marks a spec whose sizes do not divide; the planner reports it.
    """

    terms: tuple[Term, ...]
    offset: Fraction
    values: tuple[Number, Number, Number]

    @property
    def opt(self) -> int:
        return int(self.values[1])

    @property
    def fixed(self) -> bool:
        return not self.terms

    @property
    def words(self) -> tuple[str, ...]:
        """The words of `dims` that it depends on."""
        found = dict.fromkeys(word for symbols, _ in self.terms for symbol in symbols for word in _words(symbol))
        return tuple(found)

    @property
    def linear(self) -> tuple[str, Fraction] | None:
        """(word, factor) of `factor * word + offset`; None for any other form."""
        match self.terms:
            case (((str(word),), factor),):
                return word, factor
            case _:
                return None

    @property
    def whole(self) -> bool:
        return all(value == int(value) and value > 0 for value in self.values)

    def at(self, point: Point) -> int:
        return int(self.values[_POINT[point]])

    def evaluate(self, env: Mapping[str, int]) -> Number:
        """The value where each word has the size that `env` gives it."""
        total = self.offset
        for symbols, factor in self.terms:
            total += factor * prod(env[s] if isinstance(s, str) else s.evaluate(env) for s in symbols)
        return _plain(total)

    def __add__(self, other: Number | Size) -> Size:
        if not isinstance(other, Size):
            return Size(self.terms, self.offset + other, _each(v + other for v in self.values))
        terms = dict(self.terms)
        for symbols, factor in other.terms:
            terms[symbols] = terms.get(symbols, Fraction(0)) + factor
        kept = sorted(((symbols, factor) for symbols, factor in terms.items() if factor), key=_order)
        values = _each(a + b for a, b in zip(self.values, other.values, strict=True))
        return Size(tuple(kept), self.offset + other.offset, values)

    def __sub__(self, other: Number) -> Size:
        return self + (-other)

    def __mul__(self, other: Number) -> Size:
        terms = tuple((symbols, factor * other) for symbols, factor in self.terms)
        offset = self.offset * other if self.offset else self.offset  # fractions are slow, and most have none
        return Size(terms, offset, _each(v * other for v in self.values))

    def __truediv__(self, other: Number) -> Size:
        terms = tuple((symbols, factor / other) for symbols, factor in self.terms)
        offset = self.offset / other if self.offset else self.offset
        values = (value / Fraction(other) if value % other else value // other for value in self.values)
        return Size(terms, offset, _each(values))

    def __floordiv__(self, divisor: int) -> Size:
        values = _each(v // divisor for v in self.values)
        if self.fixed:
            return Size((), Fraction(values[1]), values)
        return Size((((Floor(self, divisor),), Fraction(1)),), Fraction(0), values)

    def __str__(self) -> str:
        if self.fixed:
            return str(self.values[1])
        text = " + ".join(_term(symbols, factor) for symbols, factor in self.terms)
        if self.offset:
            text += f" {'+' if self.offset > 0 else '-'} {abs(self.offset)}"
        return text


def _words(symbol: Symbol) -> tuple[str, ...]:
    return (symbol,) if isinstance(symbol, str) else symbol.size.words


def _order(term: Term) -> tuple[int, str]:
    symbols, _ = term
    return -len(symbols), "*".join(map(str, symbols))


def _term(symbols: tuple[Symbol, ...], factor: Fraction) -> str:
    text = "*".join(map(str, symbols))
    if factor.numerator != 1:
        text = f"{factor.numerator}*{text}"
    return text if factor.denominator == 1 else f"{text}/{factor.denominator}"


def fixed(value: int) -> Size:
    """A size that is the same for every input."""
    return Size((), Fraction(value), (value, value, value))


def symbolic(name: str, low: int, opt: int, high: int) -> Size:
    """A size named in `dims`."""
    return Size((((name,), Fraction(1)),), Fraction(0), (low, opt, high))


# A multiple or fraction of a word, as an output's size may be written: `8*rows`, `height/8`, `3*rows/2`, `rows`.
EXPRESSION = r"(?:([1-9][0-9]{0,5})\*)?([A-Za-z_][A-Za-z0-9_]*)(?:/([1-9][0-9]{0,5}))?"


def factored(text: str) -> tuple[str, Fraction] | None:
    """`3*rows/2` as ("rows", 3/2); None where the text is no such expression."""
    found = re.fullmatch(EXPRESSION, text)
    return (found[2], Fraction(int(found[1] or 1), int(found[3] or 1))) if found else None


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
            (a, f), (b, g) = first.terms[0], size.terms[0]
            first = Size(((a + b, f * g),), Fraction(0), values)
    return first


def _plain(value: Number) -> Number:
    return value if type(value) is int or value != int(value) else int(value)


def _each(values: Iterable[Number]) -> tuple[Number, Number, Number]:
    low, opt, high = (_plain(value) for value in values)
    return low, opt, high


@dataclass(frozen=True, slots=True)
class TensorType:
    """A tensor between two nodes.

    image: (batch, channels, *sizes); tokens: (batch, sizes[0], channels); vector: (batch, channels); index: (batch,).
    mask: (batch, sizes[0]), 0 for every token that attention does not see.
    weight: sizes, the parameter of a node that another node reads as well; it has no batch.
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
            case "mask":
                return (self.batch, *self.sizes)
            case "weight":
                return self.sizes

    @property
    def positions(self) -> int:
        """Pixels or tokens of one sample at `opt`: 1 for a vector."""
        count: Number = 1
        for size in self.sizes:  # a hot spot of sweeps: math.prod over a generator takes twice as long
            count *= size.values[1]
        return int(count)

    @property
    def elements(self) -> int:
        """Numbers in the tensor at `opt`, the whole batch."""
        return self.batch.opt * self.positions * max(self.channels, 1)

    def wide(self, channels: int) -> TensorType:
        """The same tensor with another number of channels."""
        return TensorType(self.layout, self.batch, channels, self.sizes, self.dtype)

    def sized(self, sizes: Iterable[Size]) -> TensorType:
        """The same tensor on another grid."""
        return TensorType(self.layout, self.batch, self.channels, tuple(sizes), self.dtype)

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


def mask(batch: Size, count: Size, dtype: str = "int64") -> TensorType:
    """(N, T)."""
    return TensorType("mask", batch, sizes=(count,), dtype=dtype)


def weight(*sizes: int) -> TensorType:
    """A parameter: (out, in, *kernel) of a convolution."""
    return TensorType("weight", fixed(1), sizes=tuple(map(fixed, sizes)))
