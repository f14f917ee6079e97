"""Sizes that are known only when the model runs: whole-number polynomials of the sizes that inputs name.

A size is an `int` or a `Dim`. Equal expressions are equal sizes, which is what lets one `Shape` node serve a whole
resolution and lets ONNX Runtime share buffers between values with the same `dim_param`. So a division is simplified
only where it is exact for every size the inputs may have (`multiple` of a symbol); else it stays a floor.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import prod
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Symbol:
    """A named size, always divisible by `multiple`."""

    name: str
    multiple: int = 1

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Floor:
    """numerator // divisor where that is not exact."""

    numerator: Dim
    divisor: int

    @property
    def multiple(self) -> int:
        return 1

    def __str__(self) -> str:
        return f"(({self.numerator}) // {self.divisor})"


Atom: TypeAlias = Symbol | Floor
Monomial: TypeAlias = tuple[Atom, ...]
Size: TypeAlias = "int | Dim"


@dataclass(frozen=True, slots=True)
class Dim:
    """sum of factor * product(atoms), in a canonical order; never a plain number (see `_size`)."""

    terms: tuple[tuple[Monomial, Fraction], ...]

    def __add__(self, other: Size) -> Size:
        return _size([*self.terms, *_terms(other)])

    __radd__ = __add__

    def __sub__(self, other: Size) -> Size:
        return self + -1 * other

    def __rsub__(self, other: int) -> Size:
        return -1 * self + other

    def __mul__(self, other: Size) -> Size:
        return _size((a + b, f * g) for a, f in self.terms for b, g in _terms(other))

    __rmul__ = __mul__

    def __floordiv__(self, divisor: int) -> Size:
        exact = [(atoms, f) for atoms, f in self.terms if (f * _multiple(atoms) / divisor).denominator == 1]
        rest = _size([term for term in self.terms if term not in exact])
        quotient = _size((atoms, f / divisor) for atoms, f in exact)
        if isinstance(rest, int):
            return quotient + rest // divisor
        if any(factor < 0 for _, factor in rest.terms):  # ONNX's Div rounds to zero: keep the numerator positive
            return _size([((Floor(self, divisor),), Fraction(1))])
        if not exact:
            return _size([((Floor(rest, divisor),), Fraction(1))])
        return quotient + rest // divisor

    @property
    def order(self) -> tuple[int, str]:
        text = str(self)
        return len(text), text

    def __str__(self) -> str:
        return " + ".join(_term_text(atoms, factor) for atoms, factor in self.terms).replace("+ -", "- ")


def symbol(name: str, multiple: int = 1) -> Dim:
    """The size that an input calls `name`."""
    return Dim((((Symbol(name, multiple),), Fraction(1)),))


def product(sizes: Iterable[Size]) -> Size:
    """All sizes multiplied: the number of positions of a grid."""
    return prod(sizes, start=1)


def number(size: Size, values: Mapping[str, int]) -> int | None:
    """What a size is where its symbols have these values; None where one of them has none."""
    if isinstance(size, int):
        return size
    total = Fraction(0)
    for atoms, factor in size.terms:
        term = factor
        for atom in atoms:
            inner = values.get(atom.name) if isinstance(atom, Symbol) else number(atom.numerator, values)
            if inner is None:
                return None
            term *= inner if isinstance(atom, Symbol) else inner // atom.divisor
        total += term
    return int(total)


def exact_div(size: Size, divisor: Size) -> Size | None:
    """size / divisor if it is whole for certain, else None: what a `-1` in a reshape stands for."""
    if isinstance(divisor, int):
        quotient = size // divisor
        return quotient if quotient * divisor == size else None
    if size == divisor:
        return 1
    if len(divisor.terms) != 1 or isinstance(size, int):
        return None
    (atoms, factor) = divisor.terms[0]
    result = []
    for monomial, f in size.terms:
        left = list(monomial)
        for atom in atoms:
            if atom not in left:
                return None
            left.remove(atom)
        result.append((tuple(left), f / factor))
    return _size(result)


def merged(a: Size, b: Size) -> Size:
    """One size for two that must be equal: the number if there is one, else the shorter expression."""
    if isinstance(a, int) or isinstance(b, int):
        return a if isinstance(a, int) else b
    return min(a, b, key=lambda dim: dim.order)


def broadcast(*shapes: tuple[Size, ...]) -> tuple[Size, ...]:
    """The shape of an elementwise operation over `shapes`, as NumPy broadcasts."""
    rank = max(len(shape) for shape in shapes)
    result: list[Size] = [1] * rank
    for shape in shapes:
        for axis, size in enumerate(shape, start=rank - len(shape)):
            if size != 1:
                result[axis] = size if result[axis] == 1 else merged(result[axis], size)
    return tuple(result)


def _terms(size: Size) -> Iterable[tuple[Monomial, Fraction]]:
    return [((), Fraction(size))] if isinstance(size, int) else size.terms


def _size(terms: Iterable[tuple[Monomial, Fraction]]) -> Size:
    """Collect like terms; a polynomial without symbols is its number."""
    collected: dict[Monomial, Fraction] = {}
    for atoms, factor in terms:
        key = tuple(sorted(atoms, key=str))
        collected[key] = collected.get(key, Fraction(0)) + factor
    kept: Mapping[Monomial, Fraction] = {atoms: f for atoms, f in collected.items() if f}
    if all(atoms == () for atoms in kept):
        return int(kept.get((), Fraction(0)))
    order = sorted(kept.items(), key=lambda item: (-len(item[0]), [str(atom) for atom in item[0]]))
    return Dim(tuple(order))


def _multiple(atoms: Monomial) -> int:
    return prod(atom.multiple for atom in atoms)


def _term_text(atoms: Monomial, factor: Fraction) -> str:
    names = "*".join(str(atom) for atom in atoms)
    if not names:
        return str(factor)
    text = {1: names, -1: f"-{names}"}.get(factor.numerator, f"{factor.numerator}*{names}")
    return text if factor.denominator == 1 else f"{text}/{factor.denominator}"
