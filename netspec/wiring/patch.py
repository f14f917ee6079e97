"""Between images and the tokens of a transformer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from netspec import costs, tensors
from netspec.costs import Cost
from netspec.fields import Param
from netspec.tensors import TensorType
from netspec.wiring import Wiring

if TYPE_CHECKING:
    from torch import Tensor, nn

    from netspec.module import Parts


class Patchify(Wiring, name="patchify"):
    """Each p x p patch of an image becomes one vector: a convolution of stride p.

    Dosovitskiy et al. 2021, arXiv:2010.11929, Eq. 1. (N, C, H, W) to (N, D, H / p, W / p).
    """

    role = "stem"

    patch_size: Annotated[int, Param("side of a patch in pixels", ge=1)] = 2

    trial = (tensors.image(tensors.fixed(2), 4, tensors.fixed(8), tensors.fixed(6)),)
    trial_channels = 32

    def infer(self, x: TensorType, *, channels: int) -> TensorType:
        return x.wide(channels).sized(size / self.patch_size for size in x.sizes)

    def cost(self, x: TensorType, out: TensorType) -> Cost:
        return costs.conv(x.channels, out, kernel=self.patch_size)

    def build(self, x: TensorType, out: TensorType) -> nn.Module:
        from torch import nn

        conv = nn.Conv2d(x.channels, out.channels, self.patch_size, stride=self.patch_size)
        nn.init.xavier_uniform_(conv.weight.flatten(1))  # as the linear map that it is
        nn.init.zeros_(conv.bias)  # type: ignore[arg-type]  # this convolution has a bias
        return conv


class Unpatchify(Wiring, name="unpatchify"):
    """Tokens of p * p * C numbers back to an image. Peebles & Xie 2023, arXiv:2212.09748, Sec. 3.2.

    forward(x, image): x (N, T, p * p * C); image, the network's input, gives the sizes.
    """

    measured = (1,)

    patch_size: Annotated[int, Param("side of a patch in pixels", ge=1)] = 2

    trial = (
        tensors.tokens(tensors.fixed(2), tensors.fixed(12), 16),
        tensors.image(tensors.fixed(2), 4, tensors.fixed(8), tensors.fixed(6)),
    )

    def infer(self, x: TensorType, image: TensorType) -> TensorType:
        return image.wide(x.channels // self.patch_size**2)

    def cost(self, x: TensorType, image: TensorType, out: TensorType) -> Cost:
        return Cost()

    def build(self, x: TensorType, image: TensorType, out: TensorType) -> nn.Module:
        from netspec.module import assemble

        return assemble(self)

    def forward(self, m: Parts, x: Tensor, image: Tensor) -> Tensor:
        from netspec import ops

        return ops.unpatchify(x, image, self.patch_size)
