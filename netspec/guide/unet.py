"""A U-Net: levels of the published network for the size, as wide as the budget allows."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from netspec.guide.budget import Draft, Knobs
from netspec.guide.published import LATENTS, LATENTS_WITH_TEXT, PIXELS, Levels, levels
from netspec.guide.rules import interface, targets, texts, widths
from netspec.guide.rules import levels as leveling
from netspec.guide.sheet import Line, Sheet, line
from netspec.guide.sources import ADM

_BLOCKS = (1, 2, 3, 4)


class UNetDraft(Draft):
    """ADM on pixels; latent diffusion on latents."""

    article = "a U-Net"
    meant = {  # noqa: RUF012  # never changed
        "NS810": "the budget asks for such a wide level",
        "NS811": "the budget asks for this width",
        "NS813": "pixels were asked for",
    }

    @cached_property
    def published(self) -> Levels:
        """The network to start from."""
        latents = LATENTS_WITH_TEXT if self.wish.text else LATENTS
        return levels(self.wish.side, latents if self.wish.in_latents else PIXELS)

    @cached_property
    def found(self) -> tuple[leveling.Row, ...]:
        """Its levels for this size."""
        return leveling.rows(self.wish, self.published)

    @property
    def attending(self) -> tuple[float, ...]:
        """Multipliers of the widths that attend: those rows', and the middle's."""
        return (*(row.multiplier for row in self.found if row.attends), self.found[-1].multiplier)

    def rows(self) -> Sequence[Sequence[Knobs]]:
        bases = widths.bases([row.multiplier for row in self.found])
        usual = [base for base in bases if widths.usual_heads(base, self.attending)]
        others = [base for base in bases if base not in usual]
        return [[Knobs(base, blocks) for base in row] for blocks in _BLOCKS for row in (usual, others)]

    def liberties(self, knobs: Knobs) -> int:
        return abs(knobs.blocks - self.published.blocks) + (not widths.usual_heads(knobs.width, self.attending))

    def sheet(self, knobs: Knobs) -> Sheet:
        wish, channels = self.wish, 4 if self.wish.in_latents else 3
        told = texts.short() if wish.text else ()
        sheet = Sheet()
        sheet.add(line("netspec: 1"), line(f"name: {wish.name}"), *self._convention())
        varying = wish.in_latents
        sheet.add(*interface.tensors(wish, channels, varying=varying, texts=told, result="predicted noise"))
        sheet.add(*interface.ranges(wish, varying=varying, multiple=2 ** (len(self.found) - 1)))
        vector = f"{knobs.width} as base_channels, then an MLP to {4 * knobs.width}"
        sheet.add(*interface.vectors(wish, knobs.width, self.published.source, vector))
        sheet.add(line("unet:"), *self._levels(knobs), *self._settings(knobs))
        return sheet

    def forms(self) -> Sequence[targets.Form]:
        sizes = dict.fromkeys(interface.WORDS, self.wish.side) if self.wish.in_latents else {}
        return [targets.Form(self.wish, sizes, grouped=True)]

    def _convention(self) -> tuple[Line, ...]:
        if self.wish.in_latents:
            return ()
        return (line("convention: adm", ADM.says("the timestep scales and shifts every block")),)

    def _levels(self, knobs: Knobs) -> tuple[Line, ...]:
        published = self.published
        mixer = "transformer: 1" if self.wish.text else "attention: full"
        usual = f"{published.base_channels} at {published.where}"
        blocks = f"{published.blocks} at {published.where}"
        if knobs.width != published.base_channels:
            usual += f"; {knobs.width} by the budget, a multiple of {widths.STEP}"
        if knobs.blocks != published.blocks:
            blocks += f"; {knobs.blocks} by the budget"
        return (
            line(f"  base_channels: {knobs.width}", published.source.says(usual)),
            *leveling.lines(self.found, published, mixer),
            line(f"  mid: {{{mixer}}}", published.source.says("attention in the middle, too")),
            line(f"  blocks_per_level: {knobs.blocks}", published.source.says(blocks)),
        )

    def _settings(self, knobs: Knobs) -> tuple[Line, ...]:
        wish, published = self.wish, self.published
        count = widths.groups(knobs.width, [row.multiplier for row in self.found])
        norm = widths.norm(count)
        key, context = ("transformer", ", context: text") if wish.text else ("attention", "")
        dropout = f"dropout: {published.dropout:g}" if published.dropout else ""
        block = ", ".join(filter(None, [dropout, norm]))
        why = published.source.says(f"dropout at {published.where}") if dropout else widths.MEMBERSHIP
        resample = ADM.says("residual blocks that average and repeat pixels")
        return (
            *([line(f"  block: {{{block}}}", why)] if block else []),
            widths.head(knobs.width, self.attending, key, context + (f", {norm}" if norm else "")),
            *([] if wish.in_latents else [line("  downsample: resnet", resample), line("  upsample: resnet")]),
            *widths.head_norm(count),
        )
