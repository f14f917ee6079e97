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
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from difflib import get_close_matches
from functools import cache
from types import MappingProxyType
from typing import ClassVar, get_args, get_type_hints

from torch import Tensor

from netspec.errors import Diagnostic, RegistrationError, WeightsError
from netspec.plan import Node, Plan, describe
from netspec.weights.layouts.nodes import shapes_of
from netspec.weights.layouts.table import Entry, Place, entries_of

__all__ = ["OWN", "Entry", "Layout", "Place", "Sign", "find", "named"]

OWN = "netspec"  # the layout of our own files


@dataclass(frozen=True)
class Sign:
    """Tell-tale keys: what every file of a layout has for one kind of network, and no file of another layout has.

        Sign("unet", "time_embed.0.weight", "input_blocks.0.0.weight", "middle_block.0.in_layers.0.weight")

    `family` is the spec's key for that kind of network. All of the keys have to be there, written as a file has them
    that holds nothing else: what stands before every key of a network (`module.`, `model.diffusion_model.`) is found
    by them. Choose two to four that no size, depth or option of the architecture takes away; a file that lacks one all
    the same (an encoder alone) is a sign more.
    """

    family: str
    keys: tuple[str, ...]

    def __init__(self, family: str, *keys: str) -> None:
        object.__setattr__(self, "family", family)
        object.__setattr__(self, "keys", keys)


@dataclass(frozen=True, kw_only=True)
class Layout:
    """One way to store a network's tensors. A subclass with `name=` registers itself.

    Its fields are what files of one layout do differently among themselves and a plan does not tell; where keys and
    shapes tell, reading follows them, and the fields matter for writing alone.

    `signs` say how `--layout auto` and `netspec weights inspect` recognise the layout: a few tell-tale keys as data.
    """

    name: ClassVar[str] = ""
    signs: ClassVar[tuple[Sign, ...]] = ()

    def __init_subclass__(cls, *, name: str = "") -> None:
        super().__init_subclass__()
        if name:
            cls.name = name
            _register(cls)

    @classmethod
    def known_by(cls) -> tuple[Sign, ...]:
        """The layout's signs; one that is made of several files asks each for its own."""
        return cls.signs

    @abstractmethod
    def places(self, plan: Plan) -> Iterator[Place]:
        """Where each node's tensors lie. Nodes without tensors may be left out."""

    def beside(self, plan: Plan) -> tuple[str, ...]:
        """How keys begin of parts that a whole network has and this plan does without: they are left aside."""
        return ()

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
    """The given layout, or the one of that name: with its usual choices, or with those that follow the name, as in
    `ldm:qkv=parts_first` or `diffusers:projections=linear,vector=class_embedding`.

    Raises WeightsError NS610: no such layout, no such choice, or no such value of it.
    """
    if isinstance(layout, Layout):
        return layout
    known = named()
    name, colon, choices = layout.partition(":")
    if name not in known:
        raise _unknown(f"there is no layout `{name}`", name, known, f"layouts: {', '.join(sorted(known))}")
    return known[name](**dict(_chosen(known[name], choices.split(","))) if colon else {})


def _chosen(cls: type[Layout], choices: Sequence[str]) -> Iterator[tuple[str, str]]:
    """(field, value) of each `field=value`."""
    hints = get_type_hints(cls)
    offered: dict[str, tuple[str, ...]] = {field.name: get_args(hints[field.name]) for field in fields(cls)}
    listed = " ".join(f"{field}={'|'.join(words)}" for field, words in offered.items())
    note = f"choices of `{cls.name}`: {listed or 'none'}"
    for choice in choices:
        field, _, value = choice.strip().partition("=")
        if field not in offered:
            raise _unknown(f"layout `{cls.name}` has no choice `{field}`", field, offered, note)
        if value not in offered[field]:
            raise _unknown(f"`{field}` of layout `{cls.name}` cannot be `{value}`", value, offered[field], note)
        yield field, value


def _unknown(message: str, word: str, known: Iterable[str], note: str) -> WeightsError:
    close = get_close_matches(word, known, n=1)
    hint = (f"did you mean `{close[0]}`?",) if close else ()
    return WeightsError(Diagnostic("NS610", message, help=(*hint, note)))
