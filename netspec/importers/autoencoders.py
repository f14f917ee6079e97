"""What the autoencoders of other programs have in common, as the data of a spec."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from netspec.importers import BATCH, Draft, Options

USUAL_SIDE = 256  # of an image, where nothing says it


@dataclass
class Halves:
    """An encoder and a decoder that mirror each other. `attention` says for each level whether it has any; `inside`
    are the channels on the network's side of `quant`, which `quant` says is there. The encoder makes `moments` numbers
    for each of the latent: mean and log variance, or itself. `learned`: convolutions where sizes change."""

    channels: int
    out_channels: int
    latent: int
    widths: Sequence[int]
    attention: Sequence[bool]
    blocks: int
    middle: bool = True
    quant: bool = True
    inside: int | None = None
    moments: int = 2
    learned: bool = True
    groups: int = 32
    act: str = "silu"
    size: int = USUAL_SIDE

    def draft(self, options: Options) -> Draft:
        """The data of the spec."""
        factor = 2 ** (len(self.widths) - 1)
        side = -(-(options.size or self.size) // factor) * factor
        ranges = {"min": max(1, side // factor // 2), "opt": side // factor, "max": 2 * side // factor}
        pixels = {key: value * factor for key, value in ranges.items()}
        smaller = [f"{name}/{factor}" if factor > 1 else name for name in ("height", "width")]
        larger = [f"{factor}*{name}" if factor > 1 else name for name in ("rows", "columns")]
        data = {
            "netspec": 1,
            "name": options.name or "autoencoder",
            "inputs": {
                "image": ["batch", self.channels, "height", "width"],
                "latent": ["batch", self.latent, "rows", "columns"],
            },
            "outputs": {
                "moments": ["batch", self.moments * self.latent, *smaller],
                "decoded": ["batch", self.out_channels, *larger],
            },
            "dims": {"batch": BATCH, "height": pixels, "width": pixels, "rows": ranges, "columns": ranges},
            "autoencoder": self._family(),
            "targets": {
                "encoder": {"exporter": "onnx", "outputs": ["moments"]},
                "decoder": {"exporter": "onnx", "outputs": ["decoded"]},
            },
        }
        sampled = {"latent": "a sample of the moments", "moments": "mean and log variance"}
        quantised = {"latent": "entries of the codebook", "moments": "a latent, before it is quantised"}
        return Draft(data, {"image": "-1 to 1"} | (sampled if self.moments == 2 else quantised))

    def _family(self) -> dict[str, Any]:
        norm = {"groups": self.groups, "eps": 1e-6}
        rows = [
            {"channels": width} | ({"attention": "full"} if here else {})
            for width, here in zip(self.widths, self.attention, strict=True)
        ]
        data: dict[str, Any] = {
            "levels": rows,
            "blocks_per_level": self.blocks,
            "block": {"norm": norm, "act": self.act, "modulation": "none"},
            "attention": {"num_heads": 1, "norm": norm},
            "mid": {"attention": "full"} if self.middle else {},
            "head": {"norm": norm},
            "downsample": {"type": "conv", "padding": "asymmetric"} if self.learned else "avgpool",
            "upsample": "nearest" if self.learned else {"type": "nearest", "kernel": "none"},
        }
        if not self.quant:
            data["quant"] = "none"
        elif self.inside not in (None, self.latent):
            data |= {"encoder": {"channels": self.moments * (self.inside or 0)}, "decoder": {"channels": self.inside}}
        if not self.middle and not any(self.attention):
            del data["attention"]
        return data
