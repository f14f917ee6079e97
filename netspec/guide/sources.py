"""The papers that the guide follows. A remark begins with a tag; the head of the spec says what it stands for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Source:
    """A paper, and the short name that remarks have for it."""

    tag: str
    reference: str

    def says(self, what: str) -> Why:
        """A reason that this paper gives."""
        return Why(what, self)


@dataclass(frozen=True)
class Why:
    """Why a line of a spec is as it is; without a source by arithmetic, or by the language."""

    what: str
    source: Source | None = None

    def __str__(self) -> str:
        return f"{self.source.tag}: {self.what}" if self.source else self.what


IDDPM = Source("IDDPM", "Nichol & Dhariwal 2021, arXiv:2102.09672, and the settings released with it")
ADM = Source("ADM", "Dhariwal & Nichol 2021, arXiv:2105.05233, Sec. 3, and the settings released with it")
LDM = Source("LDM", "Rombach et al. 2022, arXiv:2112.10752, App. E to G, and the settings released with it")
EDM = Source("EDM", "Karras et al. 2022, arXiv:2206.00364, and the networks released with it")
CFG = Source("CFG", "Ho & Salimans 2022, arXiv:2207.12598: classifier-free guidance")
DIT = Source("DiT", "Peebles & Xie 2023, arXiv:2212.09748, Sec. 3 and Table 1")
UVIT = Source("U-ViT", "Bao et al. 2023, arXiv:2209.12152, and the settings released with it")
CROSS = Source("Chen", "Chen et al. 2023, arXiv:2310.00426, Sec. 2.3")
MMDIT = Source("MM-DiT", "Esser et al. 2024, arXiv:2403.03206, Sec. 4 and 5")
