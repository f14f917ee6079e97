"""A transposed convolution."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

from netspec import costs
from netspec.costs import Cost
from netspec.fields import Param
from netspec.problems import Problem
from netspec.resample import Upsample
from netspec.tensors import TensorType

if TYPE_CHECKING:
    from torch import Tensor, nn

    from netspec.module import Parts


class TransposedConv(Upsample, name="conv_transpose"):
    """A convolution of stride 2 run backwards. Ronneberger et al. 2015, arXiv:1505.04597, Sec. 2 (2x2 kernel).

    A kernel that is no multiple of 2 leaves a checkerboard.
    """

    example = "{type: conv_transpose, kernel: 4}"

    kernel: Annotated[int, Param("kernel, even: each output pixel then has equally many sources", ge=2)] = 2

    def check(self, x: TensorType, c: TensorType | None = None, *, channels: int | None = None) -> Iterator[Problem]:
        if self.kernel % 2:
            yield Problem(
                "NS308",
                f"a {self.kernel}x{self.kernel} kernel of stride 2 cannot double the size exactly",
                field="kernel",
                label="must be even",
                help=("write 2 or 4",),
            )

    def cost(self, x: TensorType, c: TensorType | None = None, *, out: TensorType) -> Cost:
        return costs.transposed_conv(x, out, kernel=self.kernel)

    def build(self, x: TensorType, c: TensorType | None = None, *, out: TensorType) -> nn.Module:
        from torch import nn

        from netspec.module import assemble

        pad = self.margin
        return assemble(self, conv=nn.ConvTranspose2d(x.channels, out.channels, self.kernel, stride=2, padding=pad))

    def forward(self, m: Parts, x: Tensor, c: Tensor | None = None) -> Tensor:
        return m.conv(x)  # type: ignore[no-any-return]  # a module's call is untyped

    @property
    def margin(self) -> int:
        """Pixels cut from each side, so that the size doubles exactly."""
        return self.kernel // 2 - 1
