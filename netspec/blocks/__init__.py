"""The blocks of a U-Net level: `block: resnet`, `block: {type: conv, padding: valid}`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from netspec import tensors
from netspec.fields import Param
from netspec.problems import Problem
from netspec.registry import Component
from netspec.tensors import TensorType

if TYPE_CHECKING:
    from torch import Tensor

    from netspec.module import Parts

Modulation = Literal["add", "scale_shift", "none"]
MODULATIONS = {
    "add": "a projection of the vector is added",
    "scale_shift": "the vector scales and shifts a norm's output",
    "none": "the vector does not enter",
}


class Block(Component, kind="block", usual="resnet"):
    """Maps an image to an image of the level's channels, told by the conditioning vector where `modulation` says so.

    forward(x, c): x (N, C, H, W), c (N, D) or absent.
    """

    modulation: Annotated[
        Modulation, Param("how the conditioning vector enters: added, as scale and shift of a norm, or not at all")
    ] = "none"

    trial = (
        tensors.image(tensors.fixed(2), 32, tensors.fixed(8), tensors.fixed(6)),
        tensors.vector(tensors.fixed(2), 24),
    )
    trial_channels = 64

    def infer(self, x: TensorType, c: TensorType | None = None, *, channels: int) -> TensorType:
        return x.wide(channels)

    def _tell(self, m: Parts, h: Tensor, c: Tensor | None) -> Tensor:
        """`h` (N, C, H, W) after the vector, by the parts `act_c` and `linear_c`."""
        from netspec import ops

        match self.modulation:
            case "none":
                return h
            case "add":
                return h + m.linear_c(m.act_c(c))[:, :, None, None]  # type: ignore[no-any-return]  # a module's call is untyped
            case "scale_shift":
                scale, shift = m.linear_c(m.act_c(c)).chunk(2, dim=-1)  # (N, C) each
                return ops.modulate_channels(h, shift, scale)

    @property
    def _vectors(self) -> int:
        """How many vectors of channels the conditioning is projected to."""
        return 2 if self.modulation == "scale_shift" else 1


def even_kernel(kernel: int) -> Problem:
    """A convolution that keeps the size of its input needs a kernel with a centre."""
    return Problem(
        "NS308",
        f"a {kernel}x{kernel} kernel has no centre pixel, so it cannot keep the size",
        field="kernel",
        label="must be odd",
        help=(f"write {kernel - 1} or {kernel + 1}",) if kernel > 1 else (),
    )


def no_conditioning(modulation: str) -> Problem:
    """A modulated block in a network that has no conditioning vector."""
    return Problem(
        "NS306",
        f"modulation is `{modulation}`, but the spec has no conditioning",
        field="modulation",
        label="nothing to condition on",
        help=("add `conditioning:` with a timestep or a label, or write `modulation: none`",),
    )
