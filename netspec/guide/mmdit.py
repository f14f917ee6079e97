"""A transformer with a stream of weights for text and one for the image: one number, its depth, decides the size."""

from __future__ import annotations

from collections.abc import Sequence

from netspec.guide.budget import Draft, Knobs
from netspec.guide.rules import interface, patches, targets, texts
from netspec.guide.sheet import Line, Sheet, line
from netspec.guide.sources import DIT, MMDIT
from netspec.guide.wish import Wish, cannot

_WIDTH = 64  # for each block, which is also the width of a head
_DEEPEST = 64
_CHANNELS = 16


class MMDiTDraft(Draft):
    """Depth d, width 64 d, d heads."""

    article = "an MM-DiT"
    meant = {"NS804": "images of this size were asked for"}  # noqa: RUF012  # never changed

    def __init__(self, wish: Wish) -> None:
        super().__init__(wish)
        if not wish.text:
            raise cannot("an MM-DiT has a stream of its own for text", "add `--text`, or `--family dit`")

    def rows(self) -> Sequence[Sequence[Knobs]]:
        return [[Knobs(depth) for depth in range(2, _DEEPEST + 1)]]

    def sheet(self, knobs: Knobs) -> Sheet:
        wish, depth, varying = self.wish, knobs.width, self.wish.in_latents
        side = patches.patch(wish)
        sheet = Sheet()
        sheet.add(line("netspec: 1"), line(f"name: {wish.name}"))
        channels = _CHANNELS if varying else 3
        sheet.add(*interface.tensors(wish, channels, varying=varying, texts=texts.long(), result="velocity"))
        sheet.add(*interface.ranges(wish, varying=varying, multiple=side, tokens=texts.LONG_TOKENS))
        pooled = ("pooled", "mlp", MMDIT.says("pooled text beside the timestep"))
        sheet.add(*interface.vectors(wish, 256, DIT, "256, then an MLP to hidden_size", pooled))
        joint = MMDIT.says("one attention over text and image; nothing reads the text after the last block")
        sheet.add(
            line("dit:"),
            patches.cut(wish),
            line(f"  hidden_size: {_WIDTH * depth}", MMDIT.says(f"{_WIDTH} x depth")),
            line(f"  depth: {depth}", MMDIT.says(f"24 or 38; {depth} by the budget")),
            line(f"  head_dim: {_WIDTH}", MMDIT.says("as many heads as blocks")),
            line("  qk_norm: rms", MMDIT.says("keeps attention stable in halves")),
            self._positions(side),
            line("  context: {input: text, attention: joint, update_last: false}", joint),
        )
        return sheet

    def _positions(self, side: int) -> Line:
        """Of the largest image where sizes vary."""
        if not self.wish.in_latents:
            return line("  pos_embed: sincos", DIT.says("fixed sines and cosines of row and column"))
        largest = self.wish.side // side + self.wish.side // 2 // side
        why = MMDIT.says("sines and cosines, of the largest size, cut to each image")
        return line(f"  pos_embed: {{type: sincos, grid: {largest}, crop: center}}", why)

    def forms(self) -> Sequence[targets.Form]:
        sizes = dict.fromkeys(interface.WORDS, self.wish.side) if self.wish.in_latents else {}
        return [targets.Form(self.wish, {**sizes, "tokens": texts.LONG_TOKENS}, grouped=False)]
