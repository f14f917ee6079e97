"""The light convolution block: one filter for each channel, then a mix of the channels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

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


class Separable(Block, name="separable"):
    """depthwise conv, norm, act, pointwise conv, norm, [vector], act, [gate].

    Howard et al. 2017, arXiv:1704.04861, Sec. 3.1 and Fig. 3. A kxk convolution in about 1/k² of the work.
    """

    example = "{type: separable, norm: batch, act: relu, gate: squeeze_excitation, modulation: none}"

    kernel: Annotated[int, Param("kernel of the depthwise convolution, odd", ge=1)] = 3
    bias: Annotated[bool, Param("learn a bias in both convolutions; a norm makes it redundant")] = True
    norm: Annotated[Norm, Param("after each convolution")] = choice("group")
    act: Annotated[Activation, Param("after each norm")] = choice("silu")
    modulation: Annotated[
        Modulation, Param("how the conditioning vector enters, after the second norm", words=MODULATIONS)
    ] = "none"
    gate: Annotated[Gate | None, Param("channel attention, last")] = None

    def check(self, x: TensorType, c: TensorType | None = None, *, channels: int) -> Iterator[Problem]:
        yield from within("norm", self.norm.check(x))
        if channels != x.channels:
            yield from within("norm", self.norm.check(x.wide(channels)))
        if self.kernel % 2 == 0:
            yield even_kernel(self.kernel)
        if self.modulation != "none" and c is None:
            yield no_conditioning(self.modulation)

    def cost(self, x: TensorType, c: TensorType | None = None, *, out: TensorType) -> Cost:
        total = costs.conv(x.channels, x, kernel=self.kernel, bias=self.bias, groups=x.channels)
        total += self.norm.cost(x, x)
        total += costs.conv(x.channels, out, kernel=1, bias=self.bias) + self.norm.cost(out, out)
        if c is not None and self.modulation != "none":
            total += costs.linear(c.channels, out.channels * self._vectors, count=c.batch.opt)
        return total + self.gate.cost(out, out) if self.gate else total

    def build(self, x: TensorType, c: TensorType | None = None, *, out: TensorType) -> nn.Module:
        from torch import nn

        from netspec.module import assemble

        width, pad = x.channels, self.kernel // 2
        parts: dict[str, nn.Module] = {
            "depthwise": nn.Conv2d(width, width, self.kernel, padding=pad, groups=width, bias=self.bias),
            "norm1": self.norm.build(x, x),
            "act1": self.act.build(x, x),
            "pointwise": nn.Conv2d(width, out.channels, 1, bias=self.bias),
            "norm2": self.norm.build(out, out),
            "act2": self.act.build(out, out),
        }
        if c is not None and self.modulation != "none":
            parts["act_c"] = self.act.build(c, c)
            parts["linear_c"] = nn.Linear(c.channels, out.channels * self._vectors)
        if self.gate:
            parts["gate"] = self.gate.build(out, out)
        return assemble(self, parts)

    def forward(self, m: Parts, x: Tensor, c: Tensor | None = None) -> Tensor:
        h = m.act1(m.norm1(m.depthwise(x)))  # (N, C_in, H, W)
        h = m.norm2(m.pointwise(h))  # (N, C, H, W)
        h = m.act2(self._tell(m, h, c))
        return m.gate(h) if self.gate else h  # type: ignore[no-any-return]  # a module's call is untyped
