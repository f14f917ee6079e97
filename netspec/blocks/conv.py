"""The plain convolution block of classic U-Nets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

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


class Conv(Block, name="conv"):
    """conv, norm, [vector], act, [gate].

    Ronneberger et al. 2015, arXiv:1505.04597, Sec. 2 (two a level, valid, no norm).
    """

    roles: ClassVar = {"linear_c": "modulation"}
    example = "{type: conv, padding: valid, norm: none, act: relu, modulation: none}"

    kernel: Annotated[int, Param("size of the square kernel", ge=1)] = 3
    padding: Annotated[
        Literal["same", "valid"],
        Param(
            "keep the size, or lose kernel - 1 pixels per axis",
            words={
                "same": "zeros around the image keep its size",
                "valid": "no zeros: each axis loses kernel - 1 pixels",
            },
        ),
    ] = "same"
    bias: Annotated[bool, Param("learn a bias; a norm right after the convolution makes it redundant")] = True
    norm: Annotated[Norm, Param("after the convolution")] = choice("group")
    act: Annotated[Activation, Param("last")] = choice("silu")
    modulation: Annotated[
        Modulation, Param("how the conditioning vector enters, after the norm", words=MODULATIONS)
    ] = "none"
    gate: Annotated[Gate | None, Param("channel attention, last")] = None

    def check(self, x: TensorType, c: TensorType | None = None, *, channels: int) -> Iterator[Problem]:
        yield from within("norm", self.norm.check(x.wide(channels)))
        if self.padding == "same" and self.kernel % 2 == 0:
            yield even_kernel(self.kernel)
        if self.modulation != "none" and c is None:
            yield no_conditioning(self.modulation)

    def infer(self, x: TensorType, c: TensorType | None = None, *, channels: int) -> TensorType:
        lost = self.kernel - 1 if self.padding == "valid" else 0
        return x.wide(channels).sized(size - lost for size in x.sizes) if lost else x.wide(channels)

    def cost(self, x: TensorType, c: TensorType | None = None, *, out: TensorType) -> Cost:
        total = costs.conv(x.channels, out, kernel=self.kernel, bias=self.bias) + self.norm.cost(out, out)
        if c is not None and self.modulation != "none":
            total += costs.linear(c.channels, out.channels * self._vectors, count=c.batch.opt)
        return total + self.gate.cost(out, out) if self.gate else total

    def build(self, x: TensorType, c: TensorType | None = None, *, out: TensorType) -> nn.Module:
        from torch import nn

        from netspec.module import assemble

        conv = nn.Conv2d(x.channels, out.channels, self.kernel, padding=self.margin, bias=self.bias)
        return assemble(self, {"conv": conv, **self.after(c, out)})

    def after(self, c: TensorType | None, out: TensorType) -> dict[str, nn.Module]:
        """The parts behind the convolution; `finish` runs them."""
        from torch import nn

        parts = {"norm": self.norm.build(out, out), "act": self.act.build(out, out)}
        if c is not None and self.modulation != "none":
            parts["act_c"] = self.act.build(c, c)
            parts["linear_c"] = nn.Linear(c.channels, out.channels * self._vectors)
        if self.gate:
            parts["gate"] = self.gate.build(out, out)
        return parts

    def forward(self, m: Parts, x: Tensor, c: Tensor | None = None) -> Tensor:
        return self.finish(m, m.conv(x), c)

    def finish(self, m: Parts, h: Tensor, c: Tensor | None) -> Tensor:
        """From the convolution's output `h` (N, C, H, W) to the block's."""
        h = m.act(self._tell(m, m.norm(h), c))
        return m.gate(h) if self.gate else h

    @property
    def margin(self) -> int:
        """Zeros on each side of the convolution's input."""
        return self.kernel // 2 if self.padding == "same" else 0
