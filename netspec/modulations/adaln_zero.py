"""adaLN-Zero: shift, scale and gate, all starting at zero."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netspec.modulations import ModulationRule
from netspec.tensors import TensorType

if TYPE_CHECKING:
    from torch import Tensor, nn

    from netspec.module import Parts


class AdaLNZero(ModulationRule, name="adaln_zero"):
    """shift, scale, gate per branch from act, linear; zero at the start, so that every block begins as identity.

    Peebles & Xie 2023, arXiv:2212.09748, Sec. 3.2.
    """

    example = "adaln_zero"
    gated = True

    def build(self, c: TensorType, out: TensorType) -> nn.Module:
        from torch import nn

        from netspec.module import assemble, zeroed

        return assemble(self, act=nn.SiLU(), linear=zeroed(nn.Linear(c.channels, out.channels)))

    def forward(self, m: Parts, c: Tensor) -> Tensor:
        return m.linear(m.act(c))  # type: ignore[no-any-return]  # a module's call is untyped
