"""An autoencoder between images and latents."""

from __future__ import annotations

from collections.abc import Sequence

from netspec.guide.budget import Draft, Knobs
from netspec.guide.rules import targets, widths
from netspec.guide.sheet import Entry, Line, Sheet, line, table
from netspec.guide.sources import LDM
from netspec.guide.wish import LATENT_FROM, Wish, cannot

_BLOCKS = 2
_WIDTH = 128


class AutoencoderDraft(Draft):
    """Latents of a fourth or an eighth of the image's size."""

    article = "an autoencoder"
    meant = {"NS804": "images of this size were asked for"}  # noqa: RUF012  # never changed

    def __init__(self, wish: Wish) -> None:
        super().__init__(wish)
        if wish.guided or wish.latent:
            raise cannot("an autoencoder has images and latents alone", "leave out `--text`, `--classes`, `--latent`")
        large = wish.image >= LATENT_FROM
        self.multipliers: tuple[float, ...] = (1, 2, 4, 4) if large else (1, 2, 4)
        self.factor, self.channels = 2 ** (len(self.multipliers) - 1), 4 if large else 3
        if wish.image % self.factor:
            near = wish.image // self.factor * self.factor
            message = f"images of {wish.image}x{wish.image} have no latents of a size that is {self.factor} times less"
            raise cannot(message, f"--image {near or self.factor} or {near + self.factor}")

    @property
    def subject(self) -> str:
        return f"images of {self.wish.image}x{self.wish.image}"

    def rows(self) -> Sequence[Sequence[Knobs]]:
        return [[Knobs(base, _BLOCKS) for base in widths.bases(self.multipliers)]]

    def sheet(self, knobs: Knobs) -> Sheet:
        factor, channels = self.factor, self.channels
        why = LDM.says(f"{channels} channels at factor {factor}")
        sheet = Sheet()
        sheet.add(line("netspec: 1"), line(f"name: {self.wish.name}"))
        sheet.add(
            *table(
                "inputs",
                [
                    ("image", "[batch, 3, height, width]", "-1 to 1"),
                    ("latent", f"[batch, {channels}, rows, columns]", why),
                ],
            ),
            *table(
                "outputs",
                [
                    ("moments", f"[batch, {2 * channels}, height/{factor}, width/{factor}]", "mean and log variance"),
                    ("decoded", f"[batch, 3, {factor}*rows, {factor}*columns]", None),
                ],
            ),
        )
        image, latent = self._range(self.wish.image, factor), self._range(self.wish.image // factor, 1)
        entries: list[Entry] = [
            ("batch", "{min: 1, opt: 1, max: 4}", None),
            ("height", image, f"any multiple of {factor}"),
            ("width", image, None),
            ("rows", latent, None),
            ("columns", latent, None),
        ]
        sheet.add(*table("dims", entries))
        sheet.add(line("autoencoder:"), *self._settings(knobs))
        return sheet

    def _settings(self, knobs: Knobs) -> tuple[Line, ...]:
        count = widths.groups(knobs.width, self.multipliers)
        norm = widths.norm(count)
        rows = ", ".join(f"{{multiplier: {each:g}}}" for each in self.multipliers)
        width = f"{_WIDTH}"
        if knobs.width != _WIDTH:
            width += f"; {knobs.width} by the budget, a multiple of {widths.STEP}"
        return (
            line(f"  base_channels: {knobs.width}", LDM.says(width)),
            line(f"  levels: [{rows}]", LDM.says(f"these at factor {self.factor}")),
            line("  mid: {attention: full}", LDM.says("attention in the middle alone")),
            line(f"  blocks_per_level: {knobs.blocks}", LDM.says(f"{_BLOCKS}; the decoder has one more")),
            *([line(f"  block: {{{norm}}}", widths.MEMBERSHIP)] if norm else []),
            widths.head(knobs.width, self.multipliers[-1:], more=f", {norm}" if norm else ""),
            *widths.head_norm(count),
        )

    def forms(self) -> Sequence[targets.Form]:
        image = dict.fromkeys(("height", "width"), self.wish.image)
        latent = dict.fromkeys(("rows", "columns"), self.wish.image // self.factor)
        return (
            targets.Form(self.wish, image, grouped=True, half="encoder", output="moments"),
            targets.Form(self.wish, latent, grouped=True, half="decoder", output="decoded"),
        )

    @staticmethod
    def _range(side: int, multiple: int) -> str:
        return f"{{min: {max(multiple, side // 2 // multiple * multiple)}, opt: {side}, max: {2 * side}}}"
