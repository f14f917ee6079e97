"""A diffusion transformer: patches by the size, depth and width by the budget."""

from __future__ import annotations

from collections.abc import Sequence

from netspec.guide.budget import Draft, Knobs
from netspec.guide.published import size
from netspec.guide.rules import interface, patches, targets, texts
from netspec.guide.sheet import Line, Sheet, line
from netspec.guide.sources import CROSS, DIT
from netspec.guide.wish import in_words

HEAD = 64
_WIDEST = 4096


class DiTDraft(Draft):
    """adaLN-Zero for a timestep and a class; cross-attention and one shared adaLN for text."""

    article = "a DiT"
    meant = {"NS804": "images of this size were asked for"}  # noqa: RUF012  # never changed

    def rows(self) -> Sequence[Sequence[Knobs]]:
        return [[Knobs(width) for width in range(HEAD, _WIDEST + 1, HEAD)]]

    def sheet(self, knobs: Knobs) -> Sheet:
        wish, channels = self.wish, 4 if self.wish.in_latents else 3
        told = texts.short() if wish.text else ()
        sheet = Sheet()
        sheet.add(line("netspec: 1"), line(f"name: {wish.name}"))
        sheet.add(*interface.tensors(wish, channels, varying=False, texts=told, result="predicted noise"))
        sheet.add(*interface.ranges(wish, varying=False, multiple=1))
        sheet.add(*interface.vectors(wish, 256, DIT, "256, then an MLP to hidden_size"))
        sheet.add(line("dit:"), patches.cut(wish), *self._stack(knobs), *self._mixing())
        return sheet

    def forms(self) -> Sequence[targets.Form]:
        return [targets.Form(self.wish, {}, grouped=False)]

    def _stack(self, knobs: Knobs) -> tuple[Line, ...]:
        near = size(self.wish.budget)
        depth = f"as in size {near.name}, {in_words(near.params)} parameters: the nearest to the budget"
        width = f"{near.hidden_size} in size {near.name}"
        if knobs.width != near.hidden_size:
            width += f"; {knobs.width} by the budget, a multiple of {HEAD}"
        return (
            line(f"  hidden_size: {knobs.width}", DIT.says(width)),
            line(f"  depth: {near.depth}", DIT.says(depth)),
            line(f"  head_dim: {HEAD}", DIT.says("64 channels in each head, as in S, B and L")),
        )

    def _mixing(self) -> tuple[Line, ...]:
        positions = line("  pos_embed: sincos", DIT.says("fixed sines and cosines of row and column"))
        if not self.wish.text:
            return line("  modulation: adaln_zero", DIT.says("the best of four; blocks begin as identity")), positions
        return (
            line("  modulation: adaln_single", CROSS.says("one modulation for all blocks, where text is attended to")),
            positions,
            line("  context: {input: text, project: mlp, norm: none}", CROSS.says("cross-attention in every block")),
        )
