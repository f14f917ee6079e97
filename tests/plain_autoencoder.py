"""The autoencoder of latent diffusion's checkpoints in plain PyTorch, with their names of tensors.

Written from the papers and from the shapes and outputs of the golden; it knows nothing of netspec. It reproduces the
golden, so it may stand for those of its family of which there is no golden.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What such a network is made of. Levels count from 0, full resolution first."""

    image: tuple[int, int] = (3, 3)  # in, out
    width: int = 32
    multipliers: tuple[int, ...] = (1, 2, 4, 4)
    blocks: int = 2
    attends: tuple[int, ...] = ()  # levels
    middle: bool = True  # attention there
    learned: bool = True  # convolutions where sizes change
    inside: int = 4  # channels on the networks' side of the 1x1 convolutions
    latent: int | None = 4  # those of the latent's side; None: there are no such convolutions
    moments: int = 2  # mean and log variance, or the latent alone


def conv(a: int, b: int, kernel: int = 3) -> nn.Conv2d:
    return nn.Conv2d(a, b, kernel, padding=kernel // 2)


def norm(width: int) -> nn.GroupNorm:
    return nn.GroupNorm(32, width, eps=1e-6)


class Residual(nn.Module):
    def __init__(self, a: int, b: int) -> None:
        super().__init__()
        self.norm1, self.conv1, self.norm2, self.conv2 = norm(a), conv(a, b), norm(b), conv(b, b)
        if a != b:
            self.nin_shortcut = conv(a, b, 1)

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv1(F.silu(self.norm1(x)))
        h = self.conv2(F.silu(self.norm2(h)))
        return h + (self.nin_shortcut(x) if hasattr(self, "nin_shortcut") else x)


class Attention(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = norm(width)
        self.q, self.k, self.v, self.proj_out = (conv(width, width, 1) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        n, c, height, width = x.shape
        h = self.norm(x)
        q, k, v = (part(h).reshape(n, c, height * width) for part in (self.q, self.k, self.v))
        weights = torch.softmax(torch.einsum("nct,ncs->nts", q, k) / math.sqrt(c), dim=-1)
        return x + self.proj_out(torch.einsum("nts,ncs->nct", weights, v).reshape(n, c, height, width))


class Resized(nn.Module):
    """Half the size: a row and a column of zeros at the end, then strides of two. Or double: each pixel twice."""

    def __init__(self, width: int, learned: bool, way: str) -> None:
        super().__init__()
        self.way = way
        if learned:
            self.conv = nn.Conv2d(width, width, 3, stride=2) if way == "down" else conv(width, width)

    def forward(self, x: Tensor) -> Tensor:
        learned: Callable[[Tensor], Tensor] | None = getattr(self, "conv", None)
        if self.way == "up":
            x = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
            return learned(x) if learned else x
        if learned:
            return learned(F.pad(x, (0, 1, 0, 1)))
        n, c, height, width = x.shape
        return x.reshape(n, c, height // 2, 2, width // 2, 2).mean(dim=(3, 5))


def level(here: int, width: int, count: int, attends: bool) -> nn.Module:
    blocks = [Residual(here if index == 0 else width, width) for index in range(count)]
    attentions = [Attention(width) for _ in range(count if attends else 0)]
    return nn.ModuleDict({"block": nn.ModuleList(blocks), "attn": nn.ModuleList(attentions)})


def middle(plan: Plan, width: int) -> nn.ModuleDict:
    parts: dict[str, nn.Module] = {"block_1": Residual(width, width)}
    if plan.middle:
        parts["attn_1"] = Attention(width)
    return nn.ModuleDict(parts | {"block_2": Residual(width, width)})


def through(level: nn.Module, x: Tensor) -> Tensor:
    for index, block in enumerate(level["block"]):  # type: ignore[arg-type,index]
        x = block(x)
        x = level["attn"][index](x) if len(level["attn"]) else x  # type: ignore[index,arg-type]
    return x


class Encoder(nn.Module):
    def __init__(self, plan: Plan) -> None:
        super().__init__()
        widths = [plan.width * each for each in plan.multipliers]
        self.conv_in, self.down, here = conv(plan.image[0], plan.width), nn.ModuleList(), plan.width
        for index, width in enumerate(widths):
            made = level(here, width, plan.blocks, index in plan.attends)
            if index + 1 < len(widths):
                made.add_module("downsample", Resized(width, plan.learned, "down"))
            self.down.append(made)
            here = width
        self.mid, self.norm_out = middle(plan, here), norm(here)
        self.conv_out = conv(here, plan.moments * plan.inside)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv_in(x)
        for level in self.down:
            x = through(level, x)
            x = level["downsample"](x) if "downsample" in level else x  # type: ignore[operator,index]
        for part in self.mid.values():
            x = part(x)
        return self.conv_out(F.silu(self.norm_out(x)))


class Decoder(nn.Module):
    def __init__(self, plan: Plan) -> None:
        super().__init__()
        widths = [plan.width * each for each in plan.multipliers]
        here = widths[-1]
        self.conv_in, self.mid = conv(plan.inside, here), middle(plan, here)
        made = []
        for index in reversed(range(len(widths))):
            made.append(level(here, widths[index], plan.blocks + 1, index in plan.attends))
            here = widths[index]
            if index:
                made[-1].add_module("upsample", Resized(here, plan.learned, "up"))
        self.up = nn.ModuleList(reversed(made))
        self.norm_out, self.conv_out = norm(here), conv(here, plan.image[1])

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv_in(x)
        for part in self.mid.values():
            x = part(x)
        for level in reversed(self.up):  # type: ignore[call-overload]
            x = through(level, x)
            x = level["upsample"](x) if "upsample" in level else x
        return self.conv_out(F.silu(self.norm_out(x)))


class PlainAutoencoder(nn.Module):
    """encode(image) to the moments of a latent; decode(latent)."""

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        self.encoder, self.decoder = Encoder(plan), Decoder(plan)
        if plan.latent:
            self.quant_conv = conv(plan.moments * plan.inside, plan.moments * plan.latent, 1)
            self.post_quant_conv = conv(plan.latent, plan.inside, 1)

    def encode(self, image: Tensor) -> Tensor:
        moments: Tensor = self.encoder(image)
        return self.quant_conv(moments) if hasattr(self, "quant_conv") else moments

    def decode(self, latent: Tensor) -> Tensor:
        latent = self.post_quant_conv(latent) if hasattr(self, "post_quant_conv") else latent
        return self.decoder(latent)  # type: ignore[no-any-return]  # a module's call is untyped
