"""What a layout is made of: rows that pair parts of a component with foreign keys, and the entries they come to."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TypeAlias

from torch import Tensor

from netspec.plan import Node
from netspec.weights.layouts.transforms import SAME, Kept, Shape, Transform


@dataclass(frozen=True)
class Row:
    """Parts of a component, and where another layout keeps them under the node's prefix.

    A part is a module ("conv1": its weight and bias follow), a single tensor ("table") or the node itself (""); `*`
    stands for the number of a repeated part, on both sides. `formerly` are names that older files have.
    """

    ours: tuple[str, ...]
    foreign: tuple[str, ...]
    transform: Transform = SAME
    formerly: tuple[str, ...] = ()


def row(ours: str, foreign: str, transform: Transform = SAME, *, formerly: str = "") -> Row:
    """`row("q k v", "qkv", Fused())`: several parts of one side are separated by spaces."""
    return Row(_words(ours), _words(foreign), transform, tuple(formerly.split()))


def kept(ours: str) -> Row:
    """A part that the other layout computes and does not store."""
    return Row((ours,), (), Kept())


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split()) or ("",)


Table: TypeAlias = tuple[Row, ...]


@dataclass(frozen=True)
class Place:
    """Where a layout keeps one node: the prefix of its keys ("" for none) and the rows below it."""

    node: Node
    prefix: str
    rows: Table


@dataclass(frozen=True)
class Entry:
    """One group of tensors: our keys and their shapes, the foreign keys, and the transform between them."""

    node: Node
    prefix: str
    ours: tuple[str, ...]
    shapes: tuple[Shape, ...]
    foreign: tuple[str, ...]
    transform: Transform
    formerly: tuple[str, ...] = ()

    @property
    def foreign_shapes(self) -> tuple[Shape, ...]:
        """What the foreign tensors are expected to be."""
        import torch

        made = self.transform.write([torch.empty(shape, device="meta") for shape in self.shapes])
        return tuple(tuple(tensor.shape) for tensor in made)

    def named_in(self, keys: Collection[str]) -> tuple[str, ...]:
        """The foreign keys as `keys` spells them: older names where those are the ones that are there."""
        older = self.formerly or self.foreign
        return tuple(
            old if new not in keys and old in keys else new for new, old in zip(self.foreign, older, strict=True)
        )

    def read(self, state: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
        """Our (key, tensor) from foreign ones; none where the network keeps its own."""
        made = self.transform.read([state[name] for name in self.named_in(state.keys())], self.shapes)
        yield from zip(self.ours, made, strict=False)

    def write(self, state: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
        """The foreign (key, tensor) from ours."""
        yield from zip(self.foreign, self.transform.write([state[name] for name in self.ours]), strict=True)


def entries_of(place: Place, shapes: Mapping[str, Shape]) -> Iterator[Entry]:
    """What a place's rows come to for the tensors that the node has, given by their names below the node."""
    for each in place.rows:
        for key in shapes:
            found = _pattern(each.ours[0]).fullmatch(key)
            if found is None:
                continue
            *numbers, leaf = found.groups()
            ours = tuple(_fill(part, numbers, leaf) for part in each.ours)
            yield Entry(
                node=place.node,
                prefix=place.prefix,
                ours=tuple(f"{place.node.name}.{name}" for name in ours),
                shapes=tuple(shapes[name] for name in ours),
                foreign=tuple(_join(place.prefix, _fill(part, numbers, leaf)) for part in each.foreign),
                transform=each.transform,
                formerly=tuple(_join(place.prefix, _fill(part, numbers, leaf)) for part in each.formerly),
            )


@cache
def _pattern(part: str) -> re.Pattern[str]:
    """Matches the keys of a part; groups are the numbers that its stars stand for, and the tensor's own name."""
    if not part:
        return re.compile(r"(\w+)")
    return re.compile(re.escape(part).replace(r"\*", r"(\d+)") + r"(?:\.(\w+))?")


def _fill(part: str, numbers: list[str], leaf: str | None) -> str:
    for number in numbers:
        part = part.replace("*", number, 1)
    return _join(part, leaf or "")


def _join(*parts: str) -> str:
    return ".".join(part for part in parts if part)
