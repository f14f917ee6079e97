"""A strided convolution."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Literal

from netspec import costs
from netspec.blocks import even_kernel
from netspec.costs import Cost
from netspec.fields import Param
from netspec.problems import Problem
from netspec.resample import Downsample
from netspec.tensors import TensorType

if TYPE_CHECKING:
    from torch import Tensor, nn

    from netspec.module import Parts


class StridedConv(Downsample, name="conv"):
    """One convolution of stride 2. Ho et al. 2020, arXiv:2006.11239, App. B.

    DDPM and its autoencoders pad only the right and the bottom (`asymmetric`); ADM and LDM pad all sides.
    """

    example = "{type: conv, padding: asymmetric}"

    kernel: Annotated[int, Param("kernel; odd where the padding is asymmetric", ge=2)] = 3
    padding: Annotated[
        Literal["symmetric", "asymmetric"],
        Param(
            "zeros on all sides, or at right and bottom",
            words={"symmetric": "zeros on all sides", "asymmetric": "zeros at right and bottom alone"},
        ),
    ] = "symmetric"

    def check(self, x: TensorType, c: TensorType | None = None, *, channels: int | None = None) -> Iterator[Problem]:
        if self.kernel % 2 == 0 and self.padding == "asymmetric":
            yield even_kernel(self.kernel)

    def cost(self, x: TensorType, c: TensorType | None = None, *, out: TensorType) -> Cost:
        return costs.conv(x.channels, out, kernel=self.kernel)

    def build(self, x: TensorType, c: TensorType | None = None, *, out: TensorType) -> nn.Module:
        from torch import nn

        from netspec.module import assemble

        if self.padding == "symmetric":
            pad = (self.kernel - 1) // 2
            return assemble(self, conv=nn.Conv2d(x.channels, out.channels, self.kernel, stride=2, padding=pad))
        pad = self.kernel // 2
        margin = nn.ZeroPad2d((pad - 1, pad, pad - 1, pad))  # left, right, top, bottom
        return assemble(self, margin=margin, conv=nn.Conv2d(x.channels, out.channels, self.kernel, stride=2))

    def forward(self, m: Parts, x: Tensor, c: Tensor | None = None) -> Tensor:
        h = m.margin(x) if self.padding == "asymmetric" else x
        return m.conv(h)  # type: ignore[no-any-return]  # a module's call is untyped
