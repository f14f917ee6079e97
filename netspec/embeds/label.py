"""Class labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from netspec import costs
from netspec.costs import Cost
from netspec.embeds import Embed
from netspec.fields import Param
from netspec.tensors import TensorType

if TYPE_CHECKING:
    from torch import Tensor, nn

    from netspec.module import Parts


class Label(Embed, name="label"):
    """One row of a table per class; with `dropout` one more, the null class of classifier-free guidance.

    Ho & Salimans 2022, arXiv:2207.12598, Alg. 1: in training the label becomes the null class with that probability;
    at inference the caller passes the null class (`classes`) for the unconditional half.
    """

    example = "{embed: label, classes: 1000, dropout: 0.1}"
    input_dtype = "int64"

    trial = (TensorType("index", Embed.trial[0].batch, dtype="int64"),)

    classes: Annotated[int, Param("number of classes", ge=1)]
    dropout: Annotated[float, Param("probability of the null class in training; 0 for no null class", ge=0, le=1)] = 0.0
    init_std: Annotated[float, Param("standard deviation of the initial rows", gt=0)] = 1.0

    @property
    def probes(self) -> tuple[float, ...]:
        return (0, self.classes // 2, self.rows - 1)

    @property
    def rows(self) -> int:
        return self.classes + (self.dropout > 0)

    def cost(self, x: TensorType, out: TensorType) -> Cost:
        return costs.embedding(self.rows, out.channels)

    def build(self, x: TensorType, out: TensorType) -> nn.Module:
        from netspec.module import assemble, normal_table

        return assemble(self, table=normal_table(self.rows, out.channels, self.init_std))

    def forward(self, m: Parts, y: Tensor) -> Tensor:
        import torch

        if m.training and self.dropout:
            dropped = torch.rand(y.shape, device=y.device) < self.dropout  # (N,)
            y = torch.where(dropped, self.classes, y)
        return m.table(y)  # type: ignore[no-any-return]  # a module's call is untyped
