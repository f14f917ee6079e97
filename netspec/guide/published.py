"""The networks of the papers, as tables: what was trained at which size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log

from netspec.guide.sources import ADM, IDDPM, LDM, Source


@dataclass(frozen=True)
class Levels:
    """A U-Net for images or latents with sides of `side`."""

    side: int
    multipliers: tuple[float, ...]
    base_channels: int
    blocks: int
    dropout: float
    source: Source

    @property
    def where(self) -> str:
        """`64x64`."""
        return f"{self.side}x{self.side}"


@dataclass(frozen=True)
class Size:
    """A transformer of one size; `params` with patches of 2 on latents of 32x32."""

    name: str
    hidden_size: int
    depth: int
    params: int


PIXELS = (
    Levels(32, (1, 2, 2, 2), 128, 3, 0.3, IDDPM),
    Levels(64, (1, 2, 3, 4), 192, 3, 0.1, ADM),
    Levels(128, (1, 1, 2, 3, 4), 256, 2, 0, ADM),
    Levels(256, (1, 1, 2, 2, 4, 4), 256, 2, 0, ADM),
    Levels(512, (0.5, 1, 1, 2, 2, 4, 4), 256, 2, 0, ADM),
)
LATENTS = (
    Levels(32, (1, 2, 4), 256, 2, 0, LDM),
    Levels(64, (1, 2, 3, 4), 224, 2, 0, LDM),
)
LATENTS_WITH_TEXT = (Levels(32, (1, 2, 4, 4), 320, 2, 0, LDM),)
SIZES = (
    Size("S", 384, 12, 32_865_056),
    Size("B", 768, 12, 130_315_808),
    Size("L", 1024, 24, 457_840_672),
    Size("XL", 1152, 28, 674_834_720),
)


def levels(side: int, table: Sequence[Levels]) -> Levels:
    """The network of the largest size that is not above `side`; the smallest where all are."""
    return max((row for row in table if row.side <= side), key=lambda row: row.side, default=table[0])


def size(params: int) -> Size:
    """The transformer whose number of parameters is nearest, as a ratio."""
    return min(SIZES, key=lambda row: abs(log(row.params / params)))
