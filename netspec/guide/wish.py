"""What somebody asks for."""

from __future__ import annotations

import re
from dataclasses import dataclass

from netspec.errors import Diagnostic, UsageError

FACTOR = 8  # of the autoencoder between images and latents
SMALLEST_LATENT = 16
LATENT_FROM = 256  # images of this side and above are usually made in latents
BUDGET = 50_000_000

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "b": 10**9}
_BUDGET = re.compile(r"(\d+(?:[._]\d+)*)\s*([kmgb]?)", re.IGNORECASE)


@dataclass(frozen=True)
class Wish:
    """A network that somebody would like.

    image: side of the images in pixels. budget: parameters at most. target: where it will run, a name of
    `rules.targets`; "" where nobody says. latent: in an autoencoder's latents instead of pixels; None: from images of
    256 on. text: guided by text. classes: guided by one of so many classes; 0 for none.
    """

    name: str
    family: str = "unet"
    image: int = 64
    budget: int = BUDGET
    target: str = ""
    latent: bool | None = None
    text: bool = False
    classes: int = 0

    @property
    def in_latents(self) -> bool:
        """Whether the network works on latents."""
        return self.image >= LATENT_FROM if self.latent is None else self.latent

    @property
    def side(self) -> int:
        """Side of what the network works on. Raises UsageError NS926 where images have no such latents."""
        if not self.in_latents:
            return self.image
        if self.image % FACTOR or self.image // FACTOR < SMALLEST_LATENT:
            smallest = SMALLEST_LATENT * FACTOR
            message = f"images of {self.image}x{self.image} have no latents worth a network"
            raise cannot(message, f"latents are for multiples of {FACTOR} from {smallest} on; `--no-latent`")
        return self.image // FACTOR

    @property
    def guided(self) -> bool:
        """Whether each image is computed twice, with and without its text or class."""
        return self.text or self.classes > 0


def cannot(message: str, *help: str) -> UsageError:
    """NS926: the guides have no such network."""
    return UsageError(Diagnostic("NS926", message, help=help))


def budget(text: str) -> int:
    """`100M`, `1.5B`, `650k` or `65_000_000` as a number of parameters. Raises UsageError NS926."""
    match = _BUDGET.fullmatch(text.strip())
    number = match[1].replace("_", "") if match else ""
    if match is None or number.count(".") > 1 or not float(number):
        raise cannot(f"`{text}` is no number of parameters", "write it as 100M, 1.5B or 650k")
    return round(float(number) * _UNITS[match[2].lower()])


def in_words(params: int) -> str:
    """`8.2M`: a number of parameters, short."""
    for unit, letter in ((10**9, "B"), (10**6, "M"), (10**3, "k")):
        if params >= unit:
            return f"{float(f'{params / unit:.3g}'):g}{letter}"
    return str(params)
