"""The U-Net of OpenAI's and latent diffusion's checkpoints in plain PyTorch, with their names of tensors.

Written from the papers and from the shapes and outputs of the goldens; it knows nothing of netspec. It reproduces every
golden of its families, so it may stand for those of their networks of which there is no golden.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What such a network is made of. Levels count from 0, full resolution first."""

    channels: tuple[int, int] = (3, 6)  # in, out
    width: int = 32
    multipliers: tuple[float, ...] = (1, 2, 2)
    blocks: tuple[int, ...] = (1, 1, 1)
    attends: tuple[int, ...] = (1, 2)  # levels
    heads: int = 1
    head_dim: int | None = None  # goes before `heads`
    parts_first: bool = False  # rows of a fused qkv: (q|k|v, head, d) instead of (head, q|k|v, d)
    scale_shift: bool = False
    resampling: str = "conv"  # "resnet", "none"
    classes: int | None = None
    vector: int | None = None
    depths: tuple[int, ...] = ()  # transformer blocks per level, and of the middle; none: plain attention
    context: int | None = None
    cross_only: tuple[int, ...] = ()  # levels whose self-attention reads the context instead
    linear: bool = False  # the form of a transformer's projections


def conv(a: int, b: int, kernel: int = 3, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(a, b, kernel, stride=stride, padding=kernel // 2)


def softmax_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """(N, heads, T, d) each."""
    weights = torch.softmax(torch.einsum("nhtd,nhsd->nhts", q, k) / math.sqrt(q.shape[-1]), dim=-1)
    return torch.einsum("nhts,nhsd->nhtd", weights, v)


class Residual(nn.Module):
    def __init__(self, plan: Plan, a: int, b: int, size: str = "same") -> None:
        super().__init__()
        self.scale_shift, self.size = plan.scale_shift, size
        self.in_layers = nn.Sequential(nn.GroupNorm(32, a), nn.SiLU(), conv(a, b))
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(4 * plan.width, b * (1 + plan.scale_shift)))
        self.out_layers = nn.Sequential(nn.GroupNorm(32, b), nn.SiLU(), nn.Dropout(0.1), conv(b, b))
        self.skip_connection = nn.Identity() if a == b else conv(a, b, 1)

    def resized(self, x: Tensor) -> Tensor:
        if self.size == "down":
            n, c, h, w = x.shape
            return x.reshape(n, c, h // 2, 2, w // 2, 2).mean(dim=(3, 5))
        return x.repeat_interleave(2, 2).repeat_interleave(2, 3) if self.size == "up" else x

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        h = self.in_layers[2](self.resized(self.in_layers[:2](x)))
        emb = self.emb_layers(emb)[:, :, None, None]
        if self.scale_shift:
            scale, shift = emb.chunk(2, dim=1)
            h = self.out_layers[1:](self.out_layers[0](h) * (1 + scale) + shift)
        else:
            h = self.out_layers(h + emb)
        return h + self.skip_connection(self.resized(x))


class Attention(nn.Module):
    def __init__(self, plan: Plan, width: int) -> None:
        super().__init__()
        self.heads, self.parts_first = width // plan.head_dim if plan.head_dim else plan.heads, plan.parts_first
        self.norm, self.qkv = nn.GroupNorm(32, width), nn.Conv1d(width, 3 * width, 1)
        self.proj_out = nn.Conv1d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        rows = self.qkv(self.norm(x).reshape(n, c, h * w)).transpose(1, 2)  # (N, T, 3C)
        if self.parts_first:
            q, k, v = rows.reshape(n, h * w, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        else:
            q, k, v = rows.reshape(n, h * w, self.heads, 3, -1).permute(3, 0, 2, 1, 4)
        made = softmax_attention(q, k, v).permute(0, 1, 3, 2).reshape(n, c, h * w)
        return x + self.proj_out(made).reshape(n, c, h, w)


class CrossAttention(nn.Module):
    def __init__(self, width: int, source: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.to_q = nn.Linear(width, width, bias=False)
        self.to_k, self.to_v = nn.Linear(source, width, bias=False), nn.Linear(source, width, bias=False)
        self.to_out = nn.Sequential(nn.Linear(width, width), nn.Dropout(0.1))

    def forward(self, x: Tensor, source: Tensor) -> Tensor:
        q, k, v = (
            part(tokens).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for part, tokens in ((self.to_q, x), (self.to_k, source), (self.to_v, source))
        )
        return self.to_out(softmax_attention(q, k, v).transpose(1, 2).flatten(2))


class Gated(nn.Module):
    def __init__(self, a: int, b: int) -> None:
        super().__init__()
        self.proj = nn.Linear(a, 2 * b)

    def forward(self, x: Tensor) -> Tensor:
        value, gate = self.proj(x).chunk(2, dim=-1)
        return value * F.gelu(gate)


class TransformerBlock(nn.Module):
    def __init__(self, width: int, context: int | None, heads: int, cross_only: bool) -> None:
        super().__init__()
        source, self.cross_only = context or width, cross_only
        self.attn1 = CrossAttention(width, source if cross_only else width, heads)
        net = nn.Sequential(Gated(width, 4 * width), nn.Dropout(0.1), nn.Linear(4 * width, width))
        self.ff = nn.ModuleDict({"net": net})
        self.attn2 = CrossAttention(width, source, heads)  # without a context a second self-attention
        self.norm1, self.norm2, self.norm3 = nn.LayerNorm(width), nn.LayerNorm(width), nn.LayerNorm(width)

    def forward(self, x: Tensor, context: Tensor | None) -> Tensor:
        h = self.norm1(x)
        x = x + self.attn1(h, context if self.cross_only and context is not None else h)
        h = self.norm2(x)
        x = x + self.attn2(h, h if context is None else context)
        return x + self.ff["net"](self.norm3(x))


class Transformer(nn.Module):
    def __init__(self, plan: Plan, width: int, depth: int, cross_only: bool) -> None:
        super().__init__()
        self.linear, heads = plan.linear, width // plan.head_dim if plan.head_dim else plan.heads
        self.norm = nn.GroupNorm(32, width, eps=1e-6)
        self.proj_in = nn.Linear(width, width) if plan.linear else conv(width, width, 1)
        blocks = (TransformerBlock(width, plan.context, heads, cross_only) for _ in range(depth))
        self.transformer_blocks = nn.ModuleList(blocks)
        self.proj_out = nn.Linear(width, width) if plan.linear else conv(width, width, 1)

    def forward(self, x: Tensor, context: Tensor | None) -> Tensor:
        n, c, height, width = x.shape
        h = self.norm(x) if self.linear else self.proj_in(self.norm(x))
        h = h.reshape(n, c, -1).transpose(1, 2)
        h = self.proj_in(h) if self.linear else h
        for block in self.transformer_blocks:
            h = block(h, context)
        h = self.proj_out(h) if self.linear else h
        h = h.transpose(1, 2).reshape(n, c, height, width)
        return x + (h if self.linear else self.proj_out(h))


class Smaller(nn.Module):
    def __init__(self, width: int, learned: bool) -> None:
        super().__init__()
        self.op = conv(width, width, stride=2) if learned else nn.AvgPool2d(2)

    def forward(self, x: Tensor) -> Tensor:
        return self.op(x)


class Larger(nn.Module):
    def __init__(self, width: int, learned: bool) -> None:
        super().__init__()
        self.conv = conv(width, width) if learned else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x.repeat_interleave(2, 2).repeat_interleave(2, 3))


class PlainUNet(nn.Module):
    """forward(x, t, y, context): y a class or a vector."""

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        self.plan = plan
        self.time_embed = _mlp(plan.width, 4 * plan.width)
        if plan.classes:
            self.label_emb: nn.Module = nn.Embedding(plan.classes, 4 * plan.width)
        elif plan.vector:
            self.label_emb = nn.Sequential(_mlp(plan.vector, 4 * plan.width))
        widths = [int(plan.width * each) for each in plan.multipliers]
        last, here = len(widths) - 1, widths[0]
        saved = [here]
        self.input_blocks = nn.ModuleList([nn.ModuleList([conv(plan.channels[0], here)])])
        for level, width in enumerate(widths):
            for _ in range(plan.blocks[level]):
                self.input_blocks.append(nn.ModuleList([Residual(plan, here, width), *self._attention(level, width)]))
                saved.append(here := width)
            if level < last:
                self.input_blocks.append(nn.ModuleList([self._resized(here, "down")]))
                saved.append(here)
        middle = self._attention(last, here, middle=True)
        self.middle_block = nn.ModuleList([Residual(plan, here, here), *middle, Residual(plan, here, here)])
        self.output_blocks = nn.ModuleList()
        for level, width in reversed(list(enumerate(widths))):
            for index in range(plan.blocks[level] + 1):
                parts = [Residual(plan, here + saved.pop(), width), *self._attention(level, width)]
                here = width
                if level and index == plan.blocks[level]:
                    parts.append(self._resized(here, "up"))
                self.output_blocks.append(nn.ModuleList(parts))
        self.out = nn.Sequential(nn.GroupNorm(32, here), nn.SiLU(), conv(here, plan.channels[1]))

    def _attention(self, level: int, width: int, middle: bool = False) -> list[nn.Module]:
        plan = self.plan
        if not (middle or level in plan.attends):
            return []
        if not plan.depths:
            return [Attention(plan, width)]
        depth = plan.depths[-1 if middle else level]
        return [Transformer(plan, width, depth, level in plan.cross_only and not middle)]

    def _resized(self, width: int, size: str) -> nn.Module:
        if self.plan.resampling == "resnet":
            return Residual(self.plan, width, width, size)
        return (Smaller if size == "down" else Larger)(width, self.plan.resampling == "conv")

    def forward(self, x: Tensor, t: Tensor, y: Tensor | None = None, context: Tensor | None = None) -> Tensor:
        half = self.plan.width // 2
        rates = torch.tensor([10000 ** (-i / half) for i in range(half)], dtype=torch.float64)
        angles = t.double()[:, None] * rates
        emb = self.time_embed(torch.cat([angles.cos(), angles.sin()], dim=-1))
        if y is not None:
            emb = emb + self.label_emb(y)
        saved: list[Tensor] = []
        for parts in self.input_blocks:
            saved.append(x := _run(parts, x, emb, context))
        x = _run(self.middle_block, x, emb, context)
        for parts in self.output_blocks:
            x = _run(parts, torch.cat([x, saved.pop()], dim=1), emb, context)
        return self.out(x)


def _mlp(a: int, b: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(a, b), nn.SiLU(), nn.Linear(b, b))


def _run(parts: Any, x: Tensor, emb: Tensor, context: Tensor | None) -> Tensor:
    for part in parts:
        match part:
            case Residual():
                x = part(x, emb)
            case Transformer():
                x = part(x, context)
            case _:
                x = part(x)
    return x
