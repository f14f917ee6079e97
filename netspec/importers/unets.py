"""What the U-Nets of other programs have in common: rows of levels, heads, resampling; as the data of a spec."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from netspec.importers import BATCH, Draft, Options

Depth: TypeAlias = int | list[int]

USUAL_SIDE = 64  # of an image, where nothing says it
CLIP = 77  # tokens of a text encoder's context, where nothing says it


@dataclass
class Site:
    """One resolution of a U-Net, or its middle: its width, its blocks, and what stands after them.

    `heads` is the number of heads of its self-attention (where `attention`) or of its transformer (of `depth` blocks, a
    list where that differs from block to block; `back` on the way up, where it is not the same).
    `crossed`: the transformer's first attention reads the context as well, instead of the image.
    """

    width: int
    blocks: int
    attention: bool = False
    depth: Depth = 0
    back: Depth | None = None
    heads: int = 1
    crossed: bool = False


@dataclass
class Embedding:
    """An entry of `conditioning` besides the timestep's, its inputs, and what to remark about them."""

    rule: Any
    inputs: Mapping[str, list[int | str]]
    comments: Mapping[str, str]


@dataclass
class Net:
    """Everything that describes a U-Net of residual blocks, attention and skips. `time` are the timestep's settings;
    `by_width` says that heads were given by their width. `mid_norm` is the norm of the middle's self-attention."""

    channels: int
    out_channels: int
    size: Sequence[int]
    levels: list[Site]
    mid: Site | None
    time: Mapping[str, Any]
    embeddings: Mapping[str, Embedding] = field(default_factory=dict)
    context: int | None = None
    groups: int = 32
    eps: float = 1e-5
    mid_norm: Any = None
    act: str = "silu"
    head_act: str = "silu"
    modulation: str = "add"
    dropout: float = 0.0
    stem_kernel: int = 3
    head_kernel: int = 3
    downsample: Any = "conv"
    upsample: Any = "nearest"
    by_width: bool = False
    assumed: Sequence[str] = ()

    def draft(self, options: Options) -> Draft:
        """The data of the spec."""
        inputs: dict[str, Any] = {"x": ["batch", self.channels, "height", "width"], "t": ["batch"]}
        comments = {"x": "noisy image or latent", "t": "timestep", "output": "prediction"}
        if self.context is not None:
            inputs["text"] = ["batch", options.tokens or CLIP, self.context]
            comments["text"] = "hidden states of the text encoder"
        for each in self.embeddings.values():
            inputs |= each.inputs
            comments |= each.comments
        size = (options.size, options.size) if options.size else self.size
        data = {
            "netspec": 1,
            "name": options.name or "unet",
            "inputs": inputs,
            "output": ["batch", self.out_channels, "height", "width"],
            "dims": {"batch": BATCH} | sides(size, 2 ** (len(self.levels) - 1)),
            "conditioning": {"t": {"embed": "sinusoidal", **self.time}}
            | {name: each.rule for name, each in self.embeddings.items()},
            "unet": self._unet(),
        }
        return Draft(data, comments, tuple(self.assumed))

    def _unet(self) -> dict[str, Any]:
        sites = [*self.levels, *([self.mid] if self.mid else [])]
        attention = _heads([site for site in sites if site.attention], self.by_width)
        transformer = _heads([site for site in sites if site.depth], self.by_width)
        blocks = Counter(site.blocks for site in self.levels).most_common(1)[0][0]
        rows = [
            {"channels": site.width}
            | ({"blocks": site.blocks} if site.blocks != blocks else {})
            | _row(site, attention, transformer)
            for site in self.levels
        ]
        mid: Any = "none"
        if self.mid is not None:
            mid = {"blocks": self.mid.blocks} | _row(self.mid, attention, transformer)
            if self.mid.attention and self.mid_norm is not None:
                mid["attention"]["norm"] = self.mid_norm
        norm = {"groups": self.groups, "eps": self.eps}
        data = {
            "levels": rows,
            "blocks_per_level": blocks,
            "block": {"norm": norm, "act": self.act, "modulation": self.modulation, "dropout": self.dropout},
            "mid": mid,
            "stem": {"kernel": self.stem_kernel},
            "head": {"norm": norm, "act": self.head_act, "kernel": self.head_kernel},
            "downsample": self.downsample,
            "upsample": self.upsample,
        }
        if attention:
            data["attention"] = {**attention, "norm": norm}
        if transformer:
            context = {} if self.context is None else {"context": "text"}
            data["transformer"] = {**transformer, **context, "norm": {"groups": self.groups, "eps": 1e-6}}
        return data


def _heads(sites: Sequence[Site], by_width: bool) -> dict[str, int]:
    """The head rule that holds for most sites: by number, or by width. Empty without a site."""
    if not sites:
        return {}
    number, times = Counter(site.heads for site in sites).most_common(1)[0]
    width, spread = Counter(site.width // site.heads for site in sites).most_common(1)[0]
    return {"head_dim": width} if spread > times or (spread == times and by_width) else {"num_heads": number}


def _row(site: Site, attention: Mapping[str, int], transformer: Mapping[str, int]) -> dict[str, Any]:
    """What stands after the blocks of a site; its heads only where the shared rule does not give them."""
    found: dict[str, Any] = {}
    if site.attention:
        found["attention"] = _own_heads(site, attention)
    if site.depth:
        attends = {"attends": ["context", "context"]} if site.crossed else {}
        shared = _own_heads(site, transformer) | attends
        found["transformer"] = {"depth": site.depth} | shared
        if site.back is not None:
            found["decoder"] = {"transformer": {"depth": site.back} | shared}
    return found


def _own_heads(site: Site, shared: Mapping[str, int]) -> dict[str, Any]:
    if "num_heads" in shared:
        return {} if shared["num_heads"] == site.heads else {"num_heads": site.heads}
    return {} if shared["head_dim"] * site.heads == site.width else {"num_heads": site.heads, "head_dim": "none"}


def sides(size: Sequence[int], multiple: int) -> dict[str, dict[str, int]]:
    """Ranges of height and width around a usual size, in steps that every level can halve."""
    found = {}
    for name, side in zip(("height", "width"), size, strict=True):
        opt = -(-side // multiple) * multiple
        found[name] = {"min": max(multiple, opt // 2 // multiple * multiple), "opt": opt, "max": 2 * opt}
    return found
