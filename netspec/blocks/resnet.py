"""The residual block of diffusion U-Nets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, ClassVar

from netspec import costs
from netspec.activations import Activation
from netspec.blocks import MODULATIONS, Block, Modulation, even_kernel, no_conditioning
from netspec.costs import Cost
from netspec.fields import Param, choice
from netspec.gates import Gate
from netspec.norms import Norm
from netspec.problems import Problem, within
from netspec.tensors import TensorType

if TYPE_CHECKING:
    from torch import Tensor, nn

    from netspec.module import Parts


class Resnet(Block, name="resnet"):
    """norm, act, conv, [vector], norm, act, dropout, conv, [gate], plus a shortcut.

    Ho et al. 2020, arXiv:2006.11239, App. B (additive); Nichol & Dhariwal 2021, arXiv:2102.09672, Sec. 4 (scale-shift).
    """

    label = "ResNet"

    roles: ClassVar = {"linear_c": "modulation", "shortcut": "shortcut"}
    example = "{type: resnet, modulation: scale_shift, dropout: 0.1}"

    kernel: Annotated[int, Param("kernel of both convolutions, odd", ge=1)] = 3
    norm: Annotated[Norm, Param("before each convolution")] = choice("group")
    act: Annotated[Activation, Param("after each norm")] = choice("silu")
    modulation: Annotated[
        Modulation, Param("how the conditioning vector enters between the convolutions", words=MODULATIONS)
    ] = "add"
    dropout: Annotated[float, Param("share of activations dropped before the second convolution", ge=0, le=1)] = 0.0
    gate: Annotated[Gate | None, Param("channel attention, last in the branch")] = None
    scale: Annotated[float, Param("factor of the sum of branch and shortcut, 0.70710678 for 1/sqrt 2", gt=0)] = 1.0
    zero_init: Annotated[bool, Param("start the second convolution at zero, so that the block starts as identity")] = (
        True
    )

    def check(self, x: TensorType, c: TensorType | None = None, *, channels: int) -> Iterator[Problem]:
        yield from within("norm", self.norm.check(x))
        if channels != x.channels:
            yield from within("norm", self.norm.check(x.wide(channels)))
        if self.kernel % 2 == 0:
            yield even_kernel(self.kernel)
        if self.modulation != "none" and c is None:
            yield no_conditioning(self.modulation)

    def cost(self, x: TensorType, c: TensorType | None = None, *, out: TensorType) -> Cost:
        total = self.norm.cost(x, x) + costs.conv(x.channels, out, kernel=self.kernel)
        total += self.norm.cost(out, out) + costs.conv(out.channels, out, kernel=self.kernel)
        if c is not None and self.modulation != "none":
            total += costs.linear(c.channels, out.channels * self._vectors, count=c.batch.opt)
        if x.channels != out.channels:
            total += costs.conv(x.channels, out, kernel=1)
        return total + self.gate.cost(out, out) if self.gate else total

    def build(
        self, x: TensorType, c: TensorType | None = None, *, out: TensorType, resample: nn.Module | None = None
    ) -> nn.Module:
        """`resample` changes the resolution inside both branches. Dhariwal & Nichol 2021, arXiv:2105.05233, App. A."""
        from torch import nn

        from netspec.module import assemble, zeroed

        pad = self.kernel // 2
        parts: dict[str, nn.Module] = {
            "norm1": self.norm.build(x, x),
            "act1": self.act.build(x, x),
            "resample": resample or nn.Identity(),
            "conv1": nn.Conv2d(x.channels, out.channels, self.kernel, padding=pad),
            "norm2": self.norm.build(out, out),
            "act2": self.act.build(out, out),
            "dropout": nn.Dropout(self.dropout),
            "conv2": zeroed(nn.Conv2d(out.channels, out.channels, self.kernel, padding=pad), self.zero_init),
        }
        if c is not None and self.modulation != "none":
            parts["act_c"] = self.act.build(c, c)
            parts["linear_c"] = nn.Linear(c.channels, out.channels * self._vectors)
        if x.channels != out.channels:
            parts["shortcut"] = nn.Conv2d(x.channels, out.channels, 1)
        if self.gate:
            parts["gate"] = self.gate.build(out, out)
        return assemble(self, parts)

    def forward(self, m: Parts, x: Tensor, c: Tensor | None = None) -> Tensor:
        from netspec import ops

        h = m.conv1(m.resample(m.act1(m.norm1(x))))  # (N, C, H, W)
        match self.modulation:
            case "none":
                h = m.norm2(h)
            case "add":
                h = m.norm2(h + m.linear_c(m.act_c(c))[:, :, None, None])
            case "scale_shift":
                scale, shift = m.linear_c(m.act_c(c)).chunk(2, dim=-1)  # (N, C) each
                h = ops.modulate_channels(m.norm2(h), shift, scale)
        h = m.conv2(m.dropout(m.act2(h)))
        h = m.gate(h) if self.gate else h
        x = m.resample(x)
        h = h + (m.shortcut(x) if hasattr(m, "shortcut") else x)
        return h if self.scale == 1 else h * self.scale  # type: ignore[no-any-return]  # a module's call is untyped
