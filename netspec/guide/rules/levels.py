"""Levels of a U-Net: how many, how wide, and which of them attend."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from netspec.errors import UsageError
from netspec.guide.published import Levels
from netspec.guide.sheet import Line, line
from netspec.guide.sources import ADM, Why
from netspec.guide.wish import Wish, cannot

_FEWEST = 3
_DEEPEST = 16  # side of the last level at most
_ATTEND = range(6, 33)  # sides: 32, 16 and 8, or what comes nearest to them


@dataclass(frozen=True)
class Row:
    """One level."""

    multiplier: float
    side: int
    attends: bool


def rows(wish: Wish, published: Levels) -> tuple[Row, ...]:
    """The published multipliers, as many as the side can be halved, with attention at 32, 16 and 8.

    Not at a pixel network's full resolution. Raises UsageError NS926 for a side that cannot be halved to 16 or less.
    """
    sides = [wish.side // 2**depth for depth in range(len(published.multipliers)) if wish.side % 2**depth == 0]
    if sides[-1] > _DEEPEST or len(sides) < _FEWEST:
        raise _odd(wish, published)
    first = 0 if wish.in_latents else 1
    return tuple(
        Row(multiplier, side, depth >= first and side in _ATTEND)
        for depth, (multiplier, side) in enumerate(zip(published.multipliers, sides, strict=False))
    )


def _odd(wish: Wish, published: Levels) -> UsageError:
    """A side that no U-Net of the guides halves far enough."""
    most = len(published.multipliers) - 1
    halvings = max(_FEWEST - 1, (-(-wish.side // _DEEPEST) - 1).bit_length())
    if halvings > most:
        largest = wish.image // wish.side * _DEEPEST * 2**most
        help = f"--image {largest}" if wish.in_latents else f"--latent, or --image {largest}"
        return cannot(f"a U-Net of the guides ends at {wish.side // 2**most}x{wish.side // 2**most} here", help)
    unit = wish.image // wish.side * 2**halvings
    below = max(unit, wish.image // unit * unit)
    message = f"a side of {wish.side} cannot be halved {halvings} times, to {_DEEPEST} or less"
    return cannot(message, f"--image {below} or {below + unit}")


def lines(found: Sequence[Row], published: Levels, mixer: str) -> tuple[Line, ...]:
    """`levels`, a row each. `mixer` is what a row that attends has: `attention: full`."""
    told = ", ".join(f"{each:g}" for each in published.multipliers)
    above = published.source.says(f"multipliers {told} at {published.where}; full resolution first")
    attending = next((row for row in found if row.attends), None)
    return (
        line("  levels:", above),
        *(_line(row, mixer, ADM.says("attention at 32, 16 and 8") if row is attending else None) for row in found),
    )


def _line(row: Row, mixer: str, why: Why | None) -> Line:
    mixing = f", {mixer}" if row.attends else ""
    size = f"{row.side}x{row.side}"
    told = Why(f"{why.what}; here {size}", why.source) if why else Why(size)
    return line(f"    - {{multiplier: {row.multiplier:g}{mixing}}}", told)
