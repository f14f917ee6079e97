"""listed(): the tensors of two networks by name and shape. Needs torch, which the rest of this package does without."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from netspec import graph
from netspec.plan import Plan

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Tensor:
    """One tensor: its shape in A and in B, None where the network has none of that name."""

    name: str
    old: Shape | None
    new: Shape | None

    @property
    def loads(self) -> bool:
        return self.old == self.new

    def data(self) -> dict[str, Any]:
        old, new = (None if shape is None else list(shape) for shape in (self.old, self.new))
        return {"name": self.name, "old": old, "new": new}

    def __str__(self) -> str:
        if self.old is None:
            return f"+ {self.name}  {_shape(self.new)}"
        if self.new is None:
            return f"- {self.name}  {_shape(self.old)}"
        return f"  {self.name}  {_shape(self.old)} -> {_shape(self.new)}"


def listed(a: Plan, b: Plan) -> list[Tensor]:
    """Every tensor of both, in B's order; those of A alone follow."""
    old, new = _shapes(a), _shapes(b)
    return [Tensor(name, old.get(name), new.get(name)) for name in {**new, **old}]


def lines(tensors: Sequence[Tensor]) -> list[str]:
    """How many load, and those that do not, a line each."""
    of = sum(tensor.new is not None for tensor in tensors)
    title = f"{sum(tensor.loads for tensor in tensors)} of {of} tensors load by name and shape"
    return [title, *(str(tensor) for tensor in tensors if not tensor.loads)]


def _shapes(plan: Plan) -> dict[str, Shape]:
    model = graph.build(plan, device="meta")
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}


def _shape(shape: Shape | None) -> str:
    return str(list(shape or ()))
