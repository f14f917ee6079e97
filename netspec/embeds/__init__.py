"""Embeddings of global side information: `t: {embed: sinusoidal, dim: 320}`, `y: {embed: label, classes: 1000}`."""

from __future__ import annotations

from typing import ClassVar

from netspec import tensors
from netspec.registry import Component, referred
from netspec.tensors import TensorType


class Embed(Component, kind="embed", tag="embed", usual="sinusoidal"):
    """Turns inputs, one as a rule, into a vector (N, D), D being the width that the family asks for."""

    role = "embedding"
    input_dtype: ClassVar[str] = "float32"  # what the spec's input is, unless it says otherwise; "": as the weights
    ranks: ClassVar[tuple[int, ...]] = (1,)  # sizes of that input: 1 for [batch], 2 for [batch, width]

    trial = (tensors.TensorType("index", tensors.fixed(2), dtype="float32"),)
    trial_channels = 32

    def sources(self, name: str) -> tuple[str, ...]:
        """The inputs that it reads: its own namesake, unless its choices name others."""
        return tuple(referred(self)) or (name,)

    def dtype(self, name: str) -> str:
        """What one of its inputs is, unless the spec says otherwise."""
        return self.input_dtype

    @property
    def probes(self) -> tuple[float, ...]:
        """Values of the input at which an exported network is tried: its ends and something between."""
        return (0.0,)

    @property
    def natural_width(self) -> int | None:
        """The width that a family should give the vector when nothing else decides."""
        return None

    def infer(self, x: TensorType, *, channels: int) -> TensorType:
        return tensors.vector(x.batch, channels)
