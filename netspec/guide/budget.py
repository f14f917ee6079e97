"""The size of a network that comes nearest below a number of parameters."""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import ClassVar, NamedTuple

from netspec import api, lints
from netspec.guide.rules import targets
from netspec.guide.sheet import Sheet, head, line
from netspec.guide.wish import Wish, cannot, in_words


class Knobs(NamedTuple):
    """What a budget decides: a width (or a depth that decides it), and blocks for each level where there are levels."""

    width: int
    blocks: int = 0


@dataclass(frozen=True)
class Written:
    """A spec for a wish. `above` is the next larger network that the guides have; 0 where there is none."""

    text: str
    params: int
    above: int


class Draft(ABC):
    """The rules of one family for one wish, with the size left open."""

    article: ClassVar[str]  # "a U-Net"
    meant: ClassVar[Mapping[str, str]] = {}  # lints that a wish may run into, and the wish

    def __init__(self, wish: Wish) -> None:
        self.wish = wish

    @abstractmethod
    def rows(self) -> Sequence[Sequence[Knobs]]:
        """The sizes to choose from, in rows that grow."""

    @abstractmethod
    def sheet(self, knobs: Knobs) -> Sheet:
        """The network of one size."""

    @abstractmethod
    def forms(self) -> Sequence[targets.Form]:
        """What its deployments depend on: one form, or one for each half of an autoencoder."""

    def liberties(self, knobs: Knobs) -> int:
        """In how many ways a size departs from the guides; each has to bring it a tenth of the budget nearer."""
        return 0

    @property
    def subject(self) -> str:
        """What the network is for."""
        images = f"images of {self.wish.image}x{self.wish.image}"
        return f"latents of {images}" if self.wish.in_latents else images


def nearest(draft: Draft) -> Written:
    """The draft at the size that fits its budget. Raises UsageError NS926 where every size is larger."""

    @cache
    def count(knobs: Knobs) -> tuple[int, int]:
        cost = api.lower(api.loads(draft.sheet(knobs).text())).cost
        return cost.params, cost.frozen

    budget = draft.wish.budget
    found = [_split(row, budget, count) for row in draft.rows()]
    above = min((count(over)[0] for _, over in found if over), default=0)
    fitting = [fit for fit, _ in found if fit]
    if not fitting:
        message = f"{draft.article} for {draft.subject} has {above:,} parameters at least, the budget is {budget:,}"
        raise cannot(message, f"--budget {in_words(above + above // 100)}")
    best = max(fitting, key=lambda each: count(each)[0] - draft.liberties(each) * budget // 10)
    params, frozen = count(best)
    sheet = draft.sheet(best)
    if deployed := targets.lines(draft.forms()):
        sheet.add(*deployed)
    _allow(draft, sheet)
    expected = f"{{params: {params}, frozen: {frozen}}}" if frozen else f"{{params: {params}}}"
    sheet.add(line(f"expect: {expected}"))
    return Written(_head(draft, sheet, params, frozen) + sheet.text(), params, above)


def _split(
    row: Sequence[Knobs], budget: int, count: Callable[[Knobs], tuple[int, int]]
) -> tuple[Knobs | None, Knobs | None]:
    """The last of a growing row that fits, and the first that does not."""
    fits = bisect_right(row, budget, key=lambda knobs: count(knobs)[0])
    return row[fits - 1] if fits else None, row[fits] if fits < len(row) else None


def _allow(draft: Draft, sheet: Sheet) -> None:
    """Allow what was asked for, where a lint advises against it."""
    plan = api.lower(api.loads(sheet.text()))
    found = dict.fromkeys(each.code for each in lints.check(plan) if each.code in draft.meant)
    if found:
        sheet.add(line("lints:"), line("  allow:"), *(line(f"    {code}: {draft.meant[code]}") for code in found))


def _head(draft: Draft, sheet: Sheet, params: int, frozen: int) -> str:
    fixed = f" and {frozen:,} fixed ones" if frozen else ""
    title = (
        f"{draft.wish.name}: {draft.article} for {draft.subject}, {params:,} parameters{fixed} of "
        f"{in_words(draft.wish.budget)} at most. Written by `netspec new`; a remark says which guide chose a number:"
    )
    return head(title, sheet.sources)
