"""Conditioning as tokens: vectors that become a sequence, tokens that are appended and dropped."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Literal

from netspec import tensors
from netspec.costs import Cost
from netspec.fields import Param
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
    """Tokens of a context and those of the image as one sequence.

    After them: Peebles & Xie 2023, arXiv:2212.09748, Sec. 3.2 (in-context). Before them: Esser et al. 2024,
    arXiv:2403.03206, Fig. 2 (MM-DiT). forward(x, context).
    """

    order: Annotated[Literal["image_first", "context_first"], Param("whose tokens come first")] = "image_first"

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

        return torch.cat([context, x] if self.order == "context_first" else [x, context], dim=1)


class AppendMask(Plumbing, name="append_mask"):
    """The mask of a sequence with a context in it: the image's tokens, which are all there, and the context's mask.

    forward(image tokens before appending, mask of the context). Chen et al. 2023, arXiv:2310.00426, Sec. 2.3, mask
    a caption's padding.
    """

    order: Annotated[Literal["image_first", "context_first"], Param("whose tokens come first")] = "image_first"

    trial = (_TOKENS, tensors.mask(tensors.fixed(2), tensors.fixed(3)))

    def infer(self, x: TensorType, mask: TensorType) -> TensorType:
        return mask.sized([x.sizes[0] + mask.sizes[0]])

    def forward(self, m: Parts, x: Tensor, mask: Tensor) -> Tensor:
        from torch.nn import functional

        amounts = (0, x.shape[1]) if self.order == "context_first" else (x.shape[1], 0)
        return functional.pad(mask, amounts, value=1)


class DropTokens(Plumbing, name="drop_tokens"):
    """The image's tokens alone: what `append_tokens` added goes. Peebles & Xie 2023, arXiv:2212.09748, Sec. 3.2.

    forward(x, image tokens before appending).
    """

    measured = (1,)

    trial = (tensors.tokens(tensors.fixed(2), tensors.fixed(14), 32), _TOKENS)

    def infer(self, x: TensorType, like: TensorType) -> TensorType:
        return x.sized(like.sizes)

    def forward(self, m: Parts, x: Tensor, like: Tensor) -> Tensor:
        from netspec import ops

        return ops.keep_tokens(x, like)


class SkipTokens(Plumbing, name="skip_tokens"):
    """The image's tokens alone, where those of the context come first. Esser et al. 2024, arXiv:2403.03206, Fig. 2.

    forward(x, context): of the context only the number of its tokens matters.
    """

    measured = (1,)

    trial = (tensors.tokens(tensors.fixed(2), tensors.fixed(14), 32), _TOKENS)

    def infer(self, x: TensorType, context: TensorType) -> TensorType:
        return without(x, context)

    def forward(self, m: Parts, x: Tensor, context: Tensor) -> Tensor:
        from netspec import ops

        return ops.skip_tokens(x, context)


def without(x: TensorType, context: TensorType) -> TensorType:
    """The type of what is left of a sequence when the tokens of a context are taken out."""
    return x.sized([x.sizes[0] + context.sizes[0] * -1])
