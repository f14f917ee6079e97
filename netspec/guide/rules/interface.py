"""What goes in and what comes out: the image or latent, the timestep, text, and a class."""

from __future__ import annotations

from collections.abc import Iterable

from netspec.guide.sheet import Entry, Line, line, table
from netspec.guide.sources import CFG, Source
from netspec.guide.wish import Wish

WORDS = ("height", "width")


def tensors(wish: Wish, channels: int, *, varying: bool, texts: Iterable[Entry], result: str) -> tuple[Line, ...]:
    """`inputs` and `output` of a denoiser whose sizes vary, or are one for all images."""
    height, width = WORDS if varying else (wish.side, wish.side)
    image = f"[batch, {channels}, {height}, {width}]"
    what = f"noisy latent, an eighth of the image's {wish.image}x{wish.image}" if wish.in_latents else "noisy image"
    label = f"class, 0 to {wish.classes - 1}; {wish.classes} is no class"
    known: list[Entry] = [("y", "[batch]", label)] if wish.classes else []
    entries = [("x", image, what), ("t", "[batch]", "timestep"), *known, *texts]
    return *table("inputs", entries), line(f"output: {image}", result)


def ranges(wish: Wish, *, varying: bool, multiple: int, tokens: int = 0) -> tuple[Line, ...]:
    """`dims`: the batch, and where sizes vary a range around the one that is trained; all multiples of `multiple`."""
    guided = CFG.says("guidance computes each image twice") if wish.guided else None
    found: list[Entry] = [("batch", "{min: 1, opt: 2, max: 8}", guided)]
    if varying:
        side = wish.side
        least = max(multiple, side // 2 // multiple * multiple)
        sizes = f"{{min: {least}, opt: {side}, max: {side + side // 2 // multiple * multiple}}}"
        found += [("height", sizes, f"trained at {side}; any multiple of {multiple}"), ("width", sizes, None)]
    if tokens:
        found.append(("tokens", f"{{min: 1, opt: {tokens}, max: {tokens}}}", None))
    return table("dims", found)


def vectors(wish: Wish, dim: int, source: Source, what: str, *others: Entry) -> tuple[Line, ...]:
    """`conditioning`: the timestep at `dim` numbers, a class, and what else a family sums into its vector."""
    label = f"{{embed: label, classes: {wish.classes}, dropout: 0.1}}"
    why = CFG.says("a tenth of the images without a class, for guidance")
    known: list[Entry] = [("y", label, why)] if wish.classes else []
    timestep = ("t", f"{{embed: sinusoidal, dim: {dim}}}", source.says(what))
    return table("conditioning", [timestep, *known, *others], "summed into one vector")
