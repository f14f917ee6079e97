"""How a conditioning vector modulates transformer blocks: `modulation: adaln_zero`."""

from __future__ import annotations

from typing import ClassVar

from netspec import costs, tensors
from netspec.costs import Cost
from netspec.registry import Component
from netspec.tensors import TensorType


class ModulationRule(Component, kind="modulation", usual="adaln_zero"):
    """A rule that turns the vector (N, D) into the chunks that one block uses.

    `norm_affine` says whether the block's norms keep gains of their own; `gated` whether each branch ends in a gate;
    `modulated` whether there are chunks at all; `shared` whether one projection serves every block, so that blocks get
    its chunks instead of the vector. A branch uses shift, scale and, where gated, gate, in that order.
    """

    role = "modulation"
    norm_affine: ClassVar[bool] = False
    modulated: ClassVar[bool] = True
    gated: ClassVar[bool] = False
    shared: ClassVar[bool] = False

    trial = (tensors.vector(tensors.fixed(2), 32),)
    trial_channels = 2 * 32

    def chunks(self, branches: int) -> int:
        """How many vectors of the block's width `branches` residual branches need."""
        return branches * (3 if self.gated else 2) if self.modulated else 0

    def infer(self, c: TensorType, *, channels: int) -> TensorType:
        return c.wide(channels)

    def cost(self, c: TensorType, out: TensorType) -> Cost:
        return costs.linear(c.channels, out.channels, count=c.batch.opt) if self.modulated else Cost()
