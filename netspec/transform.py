"""What a transform is: a rewrite of a network for one target that computes the same from the same weights.

netspec never imports one. Transforms are found by the entry points of the group `netspec.transforms`, whose names are
what a spec's `targets: {…: {transforms: [NAME, {NAME: options}]}}` may say.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from difflib import get_close_matches
from inspect import signature
from typing import TYPE_CHECKING, ClassVar

from netspec.errors import Diagnostic, Span, UnknownName
from netspec.plugins import installed

if TYPE_CHECKING:
    from torch import fx

    from netspec.plan import Plan

GROUP = "netspec.transforms"


class Transform(ABC):
    """A rewrite of a network for one target. Its options are constructor arguments; a spec may give them."""

    name: ClassVar[str]

    @classmethod
    def options(cls) -> tuple[str, ...]:
        """What a spec may set: the constructor's arguments."""
        return tuple(signature(cls).parameters)

    def refusals(self) -> Iterator[tuple[str, str]]:
        """(option, why) for each option whose value means nothing."""
        yield from ()

    @abstractmethod
    def apply(self, network: fx.GraphModule, plan: Plan) -> None:
        """Rewrite a network in place.

        network: on `meta`, with a call of a module for every node of `plan`. plan: at the target's sizes, those that
        vary with their ranges. Inputs, outputs, the nodes' modules, and the names and shapes of parameters and buffers
        stay: the network's weights fit as they are. Raises ExportError where the network does not allow it, or where
        there is nothing to rewrite.
        """


def names() -> tuple[str, ...]:
    """Every installed transform."""
    return tuple(installed(GROUP))


def find(name: str, span: Span | None = None) -> type[Transform]:
    """The transform of that name. Raises UnknownName (NS240), pointing at `span`, where none is installed."""
    if (entry := installed(GROUP).get(name)) is not None:
        return entry.load()  # type: ignore[no-any-return]  # entry points are untyped
    raise UnknownName(unknown(name, span))


def unknown(name: str, span: Span | None, path: str = "") -> Diagnostic:
    """NS240."""
    known = names()
    close = get_close_matches(name, known, n=1)
    return Diagnostic(
        "NS240",
        f"no transform is called `{name}`",
        span,
        f"did you mean `{close[0]}`?" if close else "not installed",
        help=(f"installed transforms: {', '.join(f'`{each}`' for each in known) or 'none'}",),
        path=path,
    )
