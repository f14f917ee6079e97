"""Conditioning as tokens: vectors that become a sequence, tokens that are appended and dropped."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from netspec import tensors
from netspec.costs import Cost
from netspec.problems import Problem
from netspec.tensors import TensorType
from netspec.wiring import Wiring

if TYPE_CHECKING:
    from torch import Tensor, nn

    from netspec.module import Parts

_TOKENS = tensors.tokens(tensors.fixed(2), tensors.fixed(12), 32)


class Plumbing(Wiring):
    """A node without weights."""

    def cost(self, *inputs: TensorType, out: TensorType) -> Cost:
        return Cost()

    def build(self, *inputs: TensorType, out: TensorType) -> nn.Module:
        from netspec.module import assemble

        return assemble(self)


class Sequence(Plumbing, name="sequence"):
    """Vectors (N, D) as the tokens of one sequence (N, count, D). Peebles & Xie 2023, arXiv:2212.09748, Sec. 3.2."""

    trial = (tensors.vector(tensors.fixed(2), 8),) * 2

    def infer(self, *inputs: TensorType) -> TensorType:
        first = inputs[0]
        return tensors.tokens(first.batch, tensors.fixed(len(inputs)), first.channels)

    def forward(self, m: Parts, *inputs: Tensor) -> Tensor:
        import torch

        return torch.cat([vector.unsqueeze(1) for vector in inputs], dim=1)


class AppendTokens(Plumbing, name="append_tokens"):
    """Tokens of a context after those of the image. Peebles & Xie 2023, arXiv:2212.09748, Sec. 3.2 (in-context)."""

    trial = (_TOKENS, tensors.tokens(tensors.fixed(2), tensors.fixed(3), 32))

    def check(self, x: TensorType, context: TensorType, channels: int | None = None) -> Iterator[Problem]:
        if x.channels != context.channels:
            yield Problem(
                "NS312",
                f"tokens of width {context.channels} cannot stand beside the image's, of width {x.channels}",
                field="input",
                label="appended as they are",
                help=("write `project: linear`, or give the context the width of the image's tokens",),
            )

    def infer(self, x: TensorType, context: TensorType) -> TensorType:
        return x.sized([x.sizes[0] + context.sizes[0]])

    def forward(self, m: Parts, x: Tensor, context: Tensor) -> Tensor:
        import torch

        return torch.cat([x, context], dim=1)


class DropTokens(Plumbing, name="drop_tokens"):
    """The image's tokens alone: what `append_tokens` added goes. Peebles & Xie 2023, arXiv:2212.09748, Sec. 3.2.

    forward(x, image tokens before appending).
    """

    trial = (tensors.tokens(tensors.fixed(2), tensors.fixed(14), 32), _TOKENS)

    def infer(self, x: TensorType, like: TensorType) -> TensorType:
        return x.sized(like.sizes)

    def forward(self, m: Parts, x: Tensor, like: Tensor) -> Tensor:
        from netspec import ops

        return ops.keep_tokens(x, like)
