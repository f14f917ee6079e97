"""A transposed convolution."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from netspec import costs
from netspec.costs import Cost
from netspec.fields import Param
from netspec.resample import Upsample
from netspec.tensors import TensorType

if TYPE_CHECKING:
    from torch import Tensor, nn

    from netspec.module import Parts


class TransposedConv(Upsample, name="conv_transpose"):
    """A convolution of stride 2 run backwards. Ronneberger et al. 2015, arXiv:1505.04597, Sec. 2 (2x2 kernel).

    With an even kernel each output pixel has equally many sources; an odd one leaves a checkerboard.
    """

    label = "transposed conv"

    stride: ClassVar[int] = 2
    example = "{type: conv_transpose, kernel: 4}"

    kernel: Annotated[int, Param("kernel; even, so that each output pixel has equally many sources", ge=2)] = 2

    def cost(self, x: TensorType, c: TensorType | None = None, *, out: TensorType) -> Cost:
        return costs.transposed_conv(x, out, kernel=self.kernel)

    def build(self, x: TensorType, c: TensorType | None = None, *, out: TensorType) -> nn.Module:
        from torch import nn

        from netspec.module import assemble

        conv = nn.ConvTranspose2d(
            x.channels, out.channels, self.kernel, self.stride, padding=self.margin, output_padding=self.extra
        )
        return assemble(self, conv=conv)

    def forward(self, m: Parts, x: Tensor, c: Tensor | None = None) -> Tensor:
        return m.conv(x)  # type: ignore[no-any-return]  # a module's call is untyped

    @property
    def margin(self) -> int:
        """Pixels cut from each side, so that the size doubles exactly."""
        return (self.kernel - 1) // 2

    @property
    def extra(self) -> int:
        """Pixels added at the bottom and the right, likewise."""
        return self.kernel % 2
