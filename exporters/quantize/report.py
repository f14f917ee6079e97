"""What was quantised, how well, and what stayed in float and why: `quantization.json` and `quantization.txt`."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from exporters.quantize.sqnr import MOST
from netspec.precision import PrecisionPlan

FILES = ("quantization.json", "quantization.txt")
_NONE: Mapping[str, float] = MappingProxyType({})


@dataclass(frozen=True)
class LayerRow:
    """One layer that the target's precision names. `dtype` is what it has; `why`, what keeps it in float.

    activations, weight: decibels that rounding each leaves by itself; output: what both leave of the layer's output, as
    predicted. None where nothing is rounded.
    """

    path: str
    role: str
    dtype: str
    weights: int
    activations: float | None
    weight: float | None
    output: float | None
    why: str = ""


@dataclass(frozen=True)
class Report:
    """The result of quantising one network for one target; decibels have one decimal."""

    network: str
    precision: str
    scheme: str
    bound: float
    outputs: Mapping[str, float]
    blocks: Mapping[str, float]
    layers: Sequence[LayerRow]
    calibration: Mapping[str, Any]
    tried: Sequence[tuple[int, float]] = field(default_factory=tuple)  # layers in few bits, worst output

    def data(self) -> dict[str, Any]:
        return {
            "network": self.network,
            "precision": self.precision,
            "scheme": self.scheme,
            "bound": self.bound,
            "calibration": dict(self.calibration),
            "outputs": dict(self.outputs),
            "blocks": dict(self.blocks),
            "tried": [{"layers": count, "sqnr": sqnr} for count, sqnr in self.tried],
            "layers": {
                row.path: {
                    "role": row.role, "precision": row.dtype, "weights": row.weights,
                    "activations": row.activations, "weight": row.weight, "output": row.output, "why": row.why,
                }
                for row in self.layers
            },
        }  # fmt: skip

    def write(self, folder: Path) -> tuple[Path, ...]:
        """Both forms, for programs and for people."""
        files = tuple(folder / name for name in FILES)
        for file, text in zip(files, (self.json(), self.text()), strict=True):
            file.write_text(text, encoding="utf-8", newline="\n")
        return files

    def json(self) -> str:
        return json.dumps(self.data(), indent=2, ensure_ascii=False) + "\n"

    def text(self) -> str:
        return "\n".join(self._lines()) + "\n"

    def _lines(self) -> Iterator[str]:
        yield f"{self.network} in {self.precision}, {self.scheme}: signal over quantisation noise in decibels"
        yield f"measured on {self.calibration['held_out']} inputs, calibrated on {self.calibration['samples']} others"
        outputs = [(name, _db(sqnr), _db(self.bound)) for name, sqnr in self.outputs.items()]
        kept = [
            (row.path, row.role, _db(row.activations), _db(row.weight), _db(row.output), row.why)
            for row in self.layers
            if row.why
        ]
        blocks = [(name, _db(sqnr)) for name, sqnr in self.blocks.items()]
        yield from table("", ("output", "SQNR", "bound"), *outputs)
        yield from table("", ("role", "precision", "layers", "weights"), *self._roles())
        if kept:
            yield from table("", ("stayed in float", "role", "activations", "weight", "output", "why"), *kept)
        yield from table("", ("block", "SQNR"), *blocks)

    def _roles(self) -> Iterator[tuple[str, str, str, str]]:
        groups: dict[tuple[str, str], tuple[int, int]] = {}
        for row in self.layers:
            layers, weights = groups.get((row.role, row.dtype), (0, 0))
            groups[row.role, row.dtype] = layers + 1, weights + row.weights
        for (role, dtype), (layers, weights) in groups.items():
            yield role, dtype, f"{layers:,}", f"{weights:,}"


def rows(
    precision: PrecisionPlan,
    kept: Mapping[str, str],
    activations: Mapping[str, float] = _NONE,
    weights: Mapping[str, float] = _NONE,
    outputs: Mapping[str, float] = _NONE,
) -> list[LayerRow]:
    """A row for each layer that the plan wants in few bits. kept: why a layer stayed in float; the others: shares of
    energy lost, as far as they are known."""
    found = []
    for path in precision.quantised:
        part, why = precision.parts[path], kept.get(path, "")
        read, own, made = (_decibels(shares.get(path)) for shares in (activations, weights, outputs))
        dtype = precision.base if why else part.dtype
        found.append(LayerRow(path, part.role, dtype, part.weights, read, own, made, why))
    return found


def _decibels(lost: float | None) -> float | None:
    """Signal over noise, from the share of energy that is noise; 200 stands for none."""
    if lost is None:
        return None
    return tenths(min(MOST, -10 * math.log10(lost))) if lost > 0 else MOST


def tenths(decibels: float) -> float:
    """What is shown and stored: the digits that do not depend on the machine."""
    return round(decibels, 1) + 0.0


def table(before: str, head: Sequence[str], *rows: Sequence[str]) -> Iterator[str]:
    """A line before it, then columns: words to the left, numbers to the right."""
    yield before
    columns = list(zip(head, *rows, strict=True))
    sides = [str.rjust if all(map(_is_number, column[1:])) else str.ljust for column in columns]
    for row in (head, *rows):
        cells = [side(cell, max(map(len, column))) for side, cell, column in zip(sides, row, columns, strict=True)]
        yield "  ".join(cells).rstrip()


def _is_number(cell: str) -> bool:
    return not cell.strip("-0123456789.,")


def _db(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"
