"""Layouts: under which names, and in which form, a checkpoint keeps the tensors of a network. One file is one layout.

A layout walks the plan and says for each node where its tensors lie: a prefix, and a table of rows, each with a named
transform that works in both directions. What it reads are node names and component classes, never a model's name.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from abc import abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from types import MappingProxyType
from typing import ClassVar

from torch import Tensor

from netspec.errors import Diagnostic, RegistrationError, WeightsError
from netspec.plan import Node, Plan, describe
from netspec.weights.layouts.nodes import shapes_of
from netspec.weights.layouts.table import Entry, Place, entries_of

__all__ = ["Entry", "Layout", "Place", "find", "named"]


@dataclass(frozen=True, kw_only=True)
class Layout:
    """One way to store a network's tensors. A subclass with `name=` registers itself.

    Its fields are what files of one layout do differently among themselves and a plan does not tell; where keys and
    shapes tell, reading follows them, and the fields matter for writing alone.
    """

    name: ClassVar[str] = ""

    def __init_subclass__(cls, *, name: str = "") -> None:
        super().__init_subclass__()
        if name:
            cls.name = name
            _register(cls)

    @abstractmethod
    def places(self, plan: Plan) -> Iterator[Place]:
        """Where each node's tensors lie. Nodes without tensors may be left out."""

    def entries(self, plan: Plan) -> tuple[Entry, ...]:
        """Every tensor of the plan with its foreign keys, in our order.

        Raises WeightsError NS609 where this layout has no place for a node.
        """
        places = {place.node.name: place for place in self.places(plan)}
        found: list[Entry] = []
        for node in plan:
            shapes = shapes_of(node)
            made = list(entries_of(places.get(node.name) or Place(node, "", ()), shapes))
            if sum(len(entry.ours) for entry in made) < len(shapes):
                raise self._cannot(node)
            found += made
        uses = Counter(key for entry in found for key in entry.foreign)
        for entry in found:
            if any(uses[key] > 1 for key in entry.foreign):
                raise self._cannot(entry.node)
        return tuple(found)

    def foreign_to_ours(self, plan: Plan, state: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
        """Our (key, tensor), one group after the other: `state` is asked for a tensor when its turn comes.

        KeyError where `state` lacks one: `load_weights` reports before it reads.
        """
        for entry in self.entries(plan):
            yield from entry.read(state)

    def ours_to_foreign(self, plan: Plan, state: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
        """The foreign (key, tensor), one group after the other."""
        for entry in self.entries(plan):
            yield from entry.write(state)

    def _cannot(self, node: Node) -> WeightsError:
        return WeightsError(
            Diagnostic(
                "NS609",
                f"layout `{self.name}` has no place for `{node.name}`: {node.component.kind} `{node.component.name}`",
                notes=(describe(node.component),),
                help=("keep the weights in netspec's own layout: `netspec`",),
                path=str(node.origin),
            )
        )


_LAYOUTS: dict[str, type[Layout]] = {}


def _register(cls: type[Layout]) -> None:
    if (owner := _LAYOUTS.get(cls.name)) is not None:
        notes = tuple(f"{each.__module__}.{each.__qualname__} ({inspect.getfile(each)})" for each in (owner, cls))
        raise RegistrationError(Diagnostic("NS903", f"layout `{cls.name}` is registered twice", notes=notes))
    if not cls.__doc__:
        raise RegistrationError(Diagnostic("NS904", f"layout `{cls.name}` has no docstring: say whose files it reads"))
    _LAYOUTS[cls.name] = cls


def named() -> Mapping[str, type[Layout]]:
    """Every layout by name."""
    _load_all()
    return MappingProxyType(_LAYOUTS)


@cache
def _load_all() -> None:
    for _, module, _ in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module}")


def find(layout: str | Layout) -> Layout:
    """The layout of that name with its usual choices, or the given one. Raises WeightsError NS610."""
    if isinstance(layout, Layout):
        return layout
    known = named()
    if layout not in known:
        close = get_close_matches(layout, known, n=1)
        hint = (f"did you mean `{close[0]}`?",) if close else ()
        listed = ", ".join(sorted(known))
        raise WeightsError(Diagnostic("NS610", f"there is no layout `{layout}`", help=(*hint, f"layouts: {listed}")))
    return known[layout]()
