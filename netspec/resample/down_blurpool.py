"""Anti-aliased pooling."""

from __future__ import annotations

from collections.abc import Iterator
from math import comb
from typing import TYPE_CHECKING, Annotated

from netspec.blocks import even_kernel
from netspec.costs import Cost
from netspec.fields import Param
from netspec.problems import Problem
from netspec.resample import Downsample
from netspec.tensors import TensorType

if TYPE_CHECKING:
    from torch import Tensor, nn

    from netspec.module import Parts


class BlurPool(Downsample, name="blurpool"):
    """A fixed binomial blur, every second pixel kept. Zhang 2019, arXiv:1904.11486, Sec. 3.2."""

    label = "blur pool"

    example = "{type: blurpool, kernel: 5}"

    kernel: Annotated[int, Param("taps of the binomial filter, odd: 3 is 1-2-1", ge=3, le=7)] = 3

    def check(self, x: TensorType, c: TensorType | None = None, *, channels: int | None = None) -> Iterator[Problem]:
        if self.kernel % 2 == 0:
            yield even_kernel(self.kernel)
        smallest = min(size.at("min") for size in x.sizes)
        if smallest <= self.kernel // 2:
            yield Problem(
                "NS308",
                f"a {self.kernel}-tap blur reflects {self.kernel // 2} pixels at each border, the image has {smallest}",
                field="kernel",
                label=f"at most {2 * max(smallest, 1) - 1} taps here",
                help=("write a smaller kernel, or use fewer levels or larger images",),
            )

    def cost(self, x: TensorType, c: TensorType | None = None, *, out: TensorType) -> Cost:
        return Cost(frozen=self.kernel**2, macs=self.kernel**2 * out.elements)

    def build(self, x: TensorType, c: TensorType | None = None, *, out: TensorType) -> nn.Module:
        import torch

        from netspec.module import assemble

        taps = torch.tensor([float(comb(self.kernel - 1, i)) for i in range(self.kernel)])
        return assemble(self, taps=torch.outer(taps, taps) / taps.sum() ** 2)  # (k, k), sums to 1

    def forward(self, m: Parts, x: Tensor, c: Tensor | None = None) -> Tensor:
        from netspec import ops

        return ops.blur(x, m.taps, 2)
