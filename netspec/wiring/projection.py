"""Layers that act on each token alone: what brings tokens and vectors to the width of a transformer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from netspec import costs, tensors
from netspec.activations import Activation
from netspec.costs import Cost
from netspec.fields import Param, choice
from netspec.roles import Role
from netspec.tensors import TensorType
from netspec.wiring import Wiring

if TYPE_CHECKING:
    from torch import Tensor, nn

    from netspec.module import Parts

_TOKENS = tensors.tokens(tensors.fixed(2), tensors.fixed(7), 24)


class Projection(Wiring):
    """Tokens (N, T, D) or vectors (N, D) at another width."""

    role: ClassVar[Role] = "stem"
    trial = (_TOKENS,)
    trial_channels = 32

    def infer(self, x: TensorType, *, channels: int) -> TensorType:
        return x.wide(channels)


class LinearProjection(Projection, name="linear"):
    """One linear layer. Esser et al. 2024, arXiv:2403.03206, Sec. 4 (the text of an MM-DiT)."""

    def cost(self, x: TensorType, out: TensorType) -> Cost:
        return costs.linear(x.channels, out.channels, count=costs.applied(x))

    def build(self, x: TensorType, out: TensorType) -> nn.Module:
        from torch import nn

        from netspec.module import xavier_linear

        return xavier_linear(nn.Linear(x.channels, out.channels))


class MlpProjection(Projection, name="mlp"):
    """linear, act, linear. Chen et al. 2023, arXiv:2310.00426, Sec. 2.3 (the caption of PixArt-alpha)."""

    label = "MLP"

    act: Annotated[Activation, Param("between the two linear layers")] = choice("gelu", approximate="tanh")

    def cost(self, x: TensorType, out: TensorType) -> Cost:
        count = costs.applied(x)
        return costs.linear(x.channels, out.channels, count=count) + costs.linear(
            out.channels, out.channels, count=count
        )

    def build(self, x: TensorType, out: TensorType) -> nn.Module:
        from torch import nn

        from netspec.module import assemble, xavier_linear

        return assemble(
            self,
            linear1=xavier_linear(nn.Linear(x.channels, out.channels)),
            act=self.act.build(out, out),
            linear2=xavier_linear(nn.Linear(out.channels, out.channels)),
        )

    def forward(self, m: Parts, x: Tensor) -> Tensor:
        return m.linear2(m.act(m.linear1(x)))  # type: ignore[no-any-return]  # a module's call is untyped


class SharedModulation(Projection, name="shared_modulation"):
    """act, linear: what all blocks share under adaLN-single. Chen et al. 2023, arXiv:2310.00426, Sec. 2.3."""

    role = "modulation"
    trial = (tensors.vector(tensors.fixed(2), 24),)

    def cost(self, x: TensorType, out: TensorType) -> Cost:
        return costs.linear(x.channels, out.channels, count=x.batch.opt)

    def build(self, x: TensorType, out: TensorType) -> nn.Module:
        from torch import nn

        from netspec.module import assemble, normal_linear

        return assemble(self, act=nn.SiLU(), linear=normal_linear(nn.Linear(x.channels, out.channels), 0.02))

    def forward(self, m: Parts, x: Tensor) -> Tensor:
        return m.linear(m.act(x))  # type: ignore[no-any-return]  # a module's call is untyped
