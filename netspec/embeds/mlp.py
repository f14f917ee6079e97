"""Vectors that come from outside: pooled text, sizes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

from netspec import costs, tensors
from netspec.activations import Activation
from netspec.costs import Cost
from netspec.embeds import Embed
from netspec.fields import Param, choice
from netspec.registry import Record
from netspec.tensors import TensorType

if TYPE_CHECKING:
    from torch import Tensor, nn

    from netspec.module import Parts


class VectorPart(Record, shorthand="input"):
    """One of the inputs that a vector is made of: as it is, or each of its numbers as sines and cosines."""

    input: Annotated[str, Param("the input, [batch, width]", refers="input")]
    sinusoids: Annotated[
        int | None, Param("turn each number into this many sines and cosines, cosines first", ge=2)
    ] = None

    def width(self, x: TensorType) -> int:
        """Numbers that this part contributes."""
        return x.channels * (self.sinusoids or 1)


class Mlp(Embed, name="mlp"):
    """linear, act, linear on an input vector (N, D). Podell et al. 2023, arXiv:2307.01952, Sec. 2.2.

    With `of`, the vector is several inputs side by side: pooled text, then sizes as sines and cosines.
    """

    label = "MLP"

    example = "mlp"
    ranks = (2,)
    input_dtype = ""

    trial = (tensors.vector(tensors.fixed(2), 48),)

    of: Annotated[
        tuple[VectorPart, ...], Param("the inputs that make up the vector, in this order; by default its namesake")
    ] = ()
    act: Annotated[Activation, Param("between the two linear layers")] = choice("silu")
    init_std: Annotated[
        float | None, Param("standard deviation of the initial weights; `none` keeps PyTorch's", gt=0)
    ] = None

    def dtype(self, name: str) -> str:
        """Numbers that become angles are float32, as timesteps are: half precision cannot hold a size of 2049."""
        return "float32" if any(part.input == name and part.sinusoids for part in self.of) else self.input_dtype

    def infer(self, *inputs: TensorType, channels: int) -> TensorType:
        return tensors.vector(inputs[0].batch, channels)

    def cost(self, *inputs: TensorType, out: TensorType) -> Cost:
        count = out.batch.opt
        return costs.linear(self._width(inputs), out.channels, count=count) + costs.linear(
            out.channels, out.channels, count=count
        )

    def build(self, *inputs: TensorType, out: TensorType) -> nn.Module:
        from torch import nn

        from netspec.module import assemble, normal_linear

        return assemble(
            self,
            linear1=normal_linear(nn.Linear(self._width(inputs), out.channels), self.init_std),
            act=self.act.build(out, out),
            linear2=normal_linear(nn.Linear(out.channels, out.channels), self.init_std),
        )

    def forward(self, m: Parts, *inputs: Tensor) -> Tensor:
        import torch

        from netspec import ops

        if self.of:
            parts = [self._features(m, part, value) for part, value in zip(self.of, inputs, strict=True)]
            x = torch.cat(parts, dim=-1)  # (N, D)
        else:
            x = ops.cast_like(inputs[0], m.linear1.weight)
        return m.linear2(m.act(m.linear1(x)))  # type: ignore[no-any-return]  # a module's call is untyped

    def _width(self, inputs: Sequence[TensorType]) -> int:
        """Numbers of the vector before the first layer."""
        if not self.of:
            return inputs[0].channels
        return sum(part.width(x) for part, x in zip(self.of, inputs, strict=True))

    def _features(self, m: Parts, part: VectorPart, x: Tensor) -> Tensor:
        from netspec import ops

        if part.sinusoids is None:
            return ops.cast_like(x, m.linear1.weight)  # (N, width)
        features = ops.timestep_embedding(
            x.flatten(), m.linear1.weight, part.sinusoids, "cos_sin", 10000.0, 0.0, 1.0
        )  # (N * width, sinusoids)
        return features.reshape(x.shape[0], x.shape[1] * part.sinusoids)
