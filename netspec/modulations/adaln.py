"""adaLN: shift and scale."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netspec.modulations import ModulationRule
from netspec.tensors import TensorType

if TYPE_CHECKING:
    from torch import Tensor, nn

    from netspec.module import Parts


class AdaLN(ModulationRule, name="adaln"):
    """shift, scale per branch from act, linear; no gate. Perez et al. 2018, arXiv:1709.07871, Eq. 2 (FiLM).

    Peebles & Xie 2023, arXiv:2212.09748, Sec. 3.2, compare it with adaLN-Zero, which trains better.
    """

    example = "adaln"

    def build(self, c: TensorType, out: TensorType) -> nn.Module:
        from torch import nn

        from netspec.module import assemble, xavier_linear

        return assemble(self, act=nn.SiLU(), linear=xavier_linear(nn.Linear(c.channels, out.channels)))

    def forward(self, m: Parts, c: Tensor) -> Tensor:
        return m.linear(m.act(c))  # type: ignore[no-any-return]  # a module's call is untyped
