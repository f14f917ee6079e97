"""Blocks that no vector modulates."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netspec.modulations import ModulationRule
from netspec.tensors import TensorType

if TYPE_CHECKING:
    from torch import nn


class NoModulation(ModulationRule, name="none"):
    """Transformer blocks whose norms have gains and biases of their own. Dosovitskiy et al. 2021, arXiv:2010.11929.

    Conditioning enters as tokens instead: `context: {input: conditioning, attention: in_context}`.
    """

    example = "none"
    norm_affine = True
    modulated = False

    def infer(self, c: TensorType, *, channels: int) -> TensorType:
        return c

    def build(self, c: TensorType, out: TensorType) -> nn.Module:
        from torch import nn

        return nn.Identity()
