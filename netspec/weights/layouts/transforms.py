"""How the tensors of a foreign layout become ours: named, invertible, one group of tensors at a time.

`read` turns foreign tensors into ours, `write` ours into foreign ones; each undoes the other. Nothing here looks at
values but `Repeated`, so shapes can be worked out on the meta device.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from netspec.errors import Diagnostic, WeightsError

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Transform:
    """The identity, and the base of the others: one foreign tensor is one of ours, number for number."""

    def read(self, foreign: Sequence[Tensor], shapes: Sequence[Shape]) -> list[Tensor]:
        """Our tensors, of `shapes`, from the foreign ones."""
        return list(foreign)

    def write(self, ours: Sequence[Tensor]) -> list[Tensor]:
        """The foreign tensors from ours."""
        return list(ours)

    def fits(self, found: Shape, expected: Shape) -> bool:
        """Whether `read` takes a foreign tensor of the shape `found` where `write` would give `expected`."""
        return found == expected


SAME = Transform()


@dataclass(frozen=True)
class Pointwise(Transform):
    """A linear layer that the other side keeps as a convolution with a kernel of ones over `axes` axes (0: linear).

    Reads either form: (O, I) and (O, I, 1, 1) hold the same numbers.
    """

    axes: int

    def read(self, foreign: Sequence[Tensor], shapes: Sequence[Shape]) -> list[Tensor]:
        return [_matrix(tensor) for tensor in foreign]

    def write(self, ours: Sequence[Tensor]) -> list[Tensor]:
        return [_with_axes(tensor, self.axes) for tensor in ours]

    def fits(self, found: Shape, expected: Shape) -> bool:
        return _without_ones(found) == _without_ones(expected)


@dataclass(frozen=True)
class Fused(Pointwise):
    """`parts` projections of one width (q, k, v) stacked as the rows of one.

    With `heads`, each head's rows of every part lie together: (heads, parts, d) instead of (parts, heads, d), the
    order that a reshape to (batch * heads, parts * d, T) before the split implies.
    """

    axes: int = 0
    heads: int = 1
    parts: int = 3

    def read(self, foreign: Sequence[Tensor], shapes: Sequence[Shape]) -> list[Tensor]:
        (fused,) = super().read(foreign, shapes)
        rows = fused.reshape(self.heads, self.parts, -1, *fused.shape[1:])  # (heads, parts, d, *)
        return [part.flatten(0, 1) for part in rows.unbind(1)]

    def write(self, ours: Sequence[Tensor]) -> list[Tensor]:
        rows = torch.stack(
            [part.reshape(self.heads, -1, *part.shape[1:]) for part in ours], dim=1
        )  # (heads, parts, d, *)
        return super().write([rows.flatten(0, 2)])


@dataclass(frozen=True)
class Reshaped(Transform):
    """The same numbers in another shape: `shape` has -1 for what is left, 0 for the size that ours has, counted from
    the end."""

    shape: Shape

    def read(self, foreign: Sequence[Tensor], shapes: Sequence[Shape]) -> list[Tensor]:
        return [tensor.reshape(shape) for tensor, shape in zip(foreign, shapes, strict=True)]

    def write(self, ours: Sequence[Tensor]) -> list[Tensor]:
        return [tensor.reshape(*self._of(tensor)) for tensor in ours]

    def _of(self, ours: Tensor) -> Iterator[int]:
        for place, size in enumerate(self.shape, start=-len(self.shape)):
            yield size or ours.shape[place]


@dataclass(frozen=True)
class Places(Reshaped):
    """A position table with one row per place, (1, rows * columns, C) for our (1, rows, columns, C)."""

    shape: Shape = (1, -1, 0)


@dataclass(frozen=True)
class Stacked(Transform):
    """Layers of several widths that read the same input, stacked as the rows of one."""

    def read(self, foreign: Sequence[Tensor], shapes: Sequence[Shape]) -> list[Tensor]:
        (stacked,) = foreign
        return list(torch.split(stacked, [shape[0] for shape in shapes]))

    def write(self, ours: Sequence[Tensor]) -> list[Tensor]:
        return [torch.cat(list(ours))]


@dataclass(frozen=True)
class Swapped(Transform):
    """The two halves of the rows in the other order: scale and shift for our shift and scale."""

    def read(self, foreign: Sequence[Tensor], shapes: Sequence[Shape]) -> list[Tensor]:
        return [torch.cat(tensor.chunk(2)[::-1]) for tensor in foreign]

    def write(self, ours: Sequence[Tensor]) -> list[Tensor]:
        return self.read(ours, [])


@dataclass(frozen=True)
class PackedPatches(Transform):
    """A linear layer on patches that lie packed in the input, where ours may be a convolution over the image.

    A packed patch is (channels, rows, columns), the columns fastest: the order of a convolution's kernel.
    """

    def read(self, foreign: Sequence[Tensor], shapes: Sequence[Shape]) -> list[Tensor]:
        return [tensor.reshape(shape) for tensor, shape in zip(foreign, shapes, strict=True)]

    def write(self, ours: Sequence[Tensor]) -> list[Tensor]:
        return [_matrix(tensor) for tensor in ours]


@dataclass(frozen=True)
class PackedRows(Transform):
    """Rows that make a packed patch, (channels, rows, columns), where ours make one of (rows, columns, channels)."""

    patch_size: int

    def read(self, foreign: Sequence[Tensor], shapes: Sequence[Shape]) -> list[Tensor]:
        p = self.patch_size
        return [tensor.unflatten(0, (-1, p * p)).transpose(0, 1).flatten(0, 1) for tensor in foreign]  # type: ignore[no-untyped-call]

    def write(self, ours: Sequence[Tensor]) -> list[Tensor]:
        p = self.patch_size
        return [tensor.unflatten(0, (p * p, -1)).transpose(0, 1).flatten(0, 1) for tensor in ours]  # type: ignore[no-untyped-call]


@dataclass(frozen=True)
class Repeated(Transform):
    """One tensor of ours that the other side stores `count` times over, all equal."""

    count: int

    def read(self, foreign: Sequence[Tensor], shapes: Sequence[Shape]) -> list[Tensor]:
        first, *rest = foreign
        if not first.is_meta and not all(torch.equal(first, other) for other in rest):
            raise WeightsError(
                Diagnostic(
                    "NS620",
                    f"{self.count} copies of one tensor {tuple(first.shape)} differ",
                    notes=("the network applies one embedding everywhere, the file has another one per block",),
                )
            )
        return [first]

    def write(self, ours: Sequence[Tensor]) -> list[Tensor]:
        return list(ours) * self.count


@dataclass(frozen=True)
class Kept(Transform):
    """A computed tensor of ours that the other side does not store: the network keeps its own."""

    def read(self, foreign: Sequence[Tensor], shapes: Sequence[Shape]) -> list[Tensor]:
        return []

    def write(self, ours: Sequence[Tensor]) -> list[Tensor]:
        return []


def _matrix(tensor: Tensor) -> Tensor:
    return tensor.flatten(1) if tensor.ndim > 2 else tensor


def _with_axes(tensor: Tensor, axes: int) -> Tensor:
    return tensor.reshape(*tensor.shape, *(1,) * axes) if tensor.ndim == 2 else tensor  # a bias has no kernel


def _without_ones(shape: Shape) -> Shape:
    while len(shape) > 2 and shape[-1] == 1:
        shape = shape[:-1]
    return shape
