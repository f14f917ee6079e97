"""static_group_norm: group normalisation by reshapes and means, of sizes that are all numbers."""

from __future__ import annotations

from typing import ClassVar

import onnx_ir as ir
import torch
from torch import Tensor, nn

from exporters.lowering import register
from exporters.lowering.builder import Builder
from exporters.lowering.dims import Size, product
from exporters.transforms.rewriting import Forward, Rewrite


class GroupMeans(nn.Module):
    """What a `GroupNorm` computes, with its parameters: (x - mean) / sqrt(var + eps) over each group of channels and
    all positions, then an affine map of each channel. Wu & He 2018, arXiv:1803.08494, Eq. 1.

    x: (N, C, *sizes). No tensor has more axes than x. Statistics are taken in float32 at least.
    """

    def __init__(self, norm: nn.GroupNorm) -> None:
        super().__init__()
        self.groups, self.eps = norm.num_groups, norm.eps
        self.weight, self.bias = norm.weight, norm.bias

    def forward(self, x: Tensor) -> Tensor:
        groups = x.to(torch.promote_types(x.dtype, torch.float32)).reshape(x.shape[0], self.groups, -1)  # (N, G, M)
        centred = groups - groups.mean(-1, keepdim=True)
        deviation = torch.sqrt((centred * centred).mean(-1, keepdim=True) + self.eps)  # (N, G, 1)
        y = (centred / deviation).reshape(x.shape).to(x.dtype)
        if self.weight is None:
            return y
        channels = (1, -1) + (1,) * (x.dim() - 2)
        return y * self.weight.reshape(channels) + self.bias.reshape(channels)


def _lower(b: Builder, m: GroupMeans, x: ir.Value) -> ir.Value:
    dims, dtype = b.dims(x), b.dtype(x)
    n, c, *sizes = dims
    assert isinstance(c, int)  # a network's widths are numbers
    groups = b.reshape(b.exact(x), [n, m.groups, c // m.groups * product(sizes)])
    pooled: list[Size] = [n, m.groups, 1]
    mean = b.op("ReduceMean", groups, b.ints(-1), dims=pooled, keepdims=1)
    centred = b.op("Sub", groups, mean, dims=b.dims(groups))
    squares = b.op("Mul", centred, centred, dims=b.dims(groups))
    variance = b.op("ReduceMean", squares, b.ints(-1), dims=pooled, keepdims=1)
    variance = b.op("Add", variance, b.scalar(m.eps, b.dtype(variance)), dims=pooled)
    y = b.op("Div", centred, b.op("Sqrt", variance, dims=pooled), dims=b.dims(groups))
    y = b.cast(b.reshape(y, dims), dtype)
    if m.weight is None:
        return y
    channels = [1, c, *(1 for _ in sizes)]
    y = b.op("Mul", y, b.cast(b.parameter("weight", channels), dtype), dims=dims)
    return b.op("Add", y, b.cast(b.parameter("bias", channels), dtype), dims=dims)


register(GroupMeans, _lower)


class StaticGroupNorm(Rewrite):
    """Every `GroupNorm` as reshapes, means and arithmetic, which every converter knows: no InstanceNormalization, no
    tensor of five axes, no size that is read at run time. All sizes have to be fixed."""

    name: ClassVar[str] = "static_group_norm"
    seeks: ClassVar[str] = "group norms"

    def rewrite(self, forward: Forward) -> bool:
        found = list(forward.calls(nn.GroupNorm))
        for node, norm in found:
            for axis in range(forward.rank(node)):
                low, high = forward.sizes(node, axis)
                if low != high:
                    raise forward.varies(f"sizes at `{node.target}`", low, high)
            forward.replace(node, GroupMeans(norm))
        return bool(found)
