"""What a caller hands to an exporter: typed inputs, outputs, where each weight lies and where each node was written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class Port:
    """An input or output of the graph. `shape` holds fixed sizes and names of sizes, such as "batch" or "height"."""

    name: str
    shape: tuple[int | str, ...]
    dtype: torch.dtype


@dataclass(frozen=True, slots=True)
class Origin:
    """The place in a spec that a node comes from: `unet.levels[1].transformer`, `sd15.yaml`, 21."""

    path: str
    file: str = ""
    line: int = 0

    @property
    def source(self) -> str:
        return f"{self.file}:{self.line}" if self.file and self.line else self.file


@dataclass(frozen=True, slots=True)
class Slot:
    """Where the bytes of one tensor lie: a file beside the graph, and a stretch of it."""

    location: str
    offset: int
    length: int


@dataclass(frozen=True)
class ExportRequest:
    """One network to export.

    model: the network; `meta` tensors will do, as only names, shapes and dtypes of weights are read. Buffers that no
    state dict holds must be real.
    weights: state-dict key to its slot; a tensor that is missing here is written into the graph (and must be real).
    multiples: what each named size is always divisible by; sharpens the sizes written beside values.
    origins: name of a top-level module to its place in the spec.
    metadata: text that travels in the model, such as the resolved spec.
    """

    model: nn.Module
    inputs: Sequence[Port]
    outputs: Sequence[Port]
    name: str
    weights: Mapping[str, Slot] = field(default_factory=dict)
    multiples: Mapping[str, int] = field(default_factory=dict)
    origins: Mapping[str, Origin] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)

    def tensors(self) -> dict[str, Tensor]:
        """Every parameter and buffer by its dotted name, shared ones under each of their names."""
        found: dict[str, Tensor] = dict(self.model.named_parameters(remove_duplicate=False))
        return found | dict(self.model.named_buffers(remove_duplicate=False))
