"""The checkpoints of diffusers: one file here for each of its network classes.

A file registers the class that it describes by the shape of the plan it `fits`.
"""

from __future__ import annotations

import importlib
import pkgutil
from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import ClassVar, Literal

from netspec.plan import Plan
from netspec.weights.layouts import Layout, Sign
from netspec.weights.layouts.table import Place


@dataclass(frozen=True, kw_only=True)
class Diffusers(Layout, name="diffusers"):
    """huggingface/diffusers, every network class that has a file here.

    The form of a transformer's projections is read from the shapes; `projections` says which one to write. `vector` is
    where a conditioning vector that an MLP embeds lies: SDXL's sizes and pooled text, or unCLIP's image embedding.
    """

    projections: Literal["conv", "linear"] = "conv"
    vector: Literal["add_embedding", "class_embedding"] = "add_embedding"

    @classmethod
    def known_by(cls) -> tuple[Sign, ...]:
        """The signs of every network class that has a file here."""
        _load_all()
        return tuple(sign for scheme in _SCHEMES for sign in scheme.signs)

    def beside(self, plan: Plan) -> tuple[str, ...]:
        scheme = _scheme(plan)
        return scheme.beside(plan) if scheme is not None else ()

    def places(self, plan: Plan) -> Iterator[Place]:
        scheme = _scheme(plan)
        if scheme is not None:
            yield from scheme.places(plan, self)


class Scheme:
    """How one network class of diffusers names its tensors. Subclasses register themselves."""

    cls: ClassVar[str]  # the class in diffusers
    signs: ClassVar[tuple[Sign, ...]] = ()  # its tell-tale keys

    def __init_subclass__(cls, *, of: str) -> None:
        cls.cls = of
        _SCHEMES.append(cls)

    @classmethod
    @abstractmethod
    def fits(cls, plan: Plan) -> bool:
        """Whether that class could be this network. No plan fits two."""

    @classmethod
    def beside(cls, plan: Plan) -> tuple[str, ...]:
        """How keys begin of parts that the plan does without."""
        return ()

    @classmethod
    @abstractmethod
    def places(cls, plan: Plan, layout: Diffusers) -> Iterator[Place]:
        """Where each node's tensors lie."""


_SCHEMES: list[type[Scheme]] = []


def _scheme(plan: Plan) -> type[Scheme] | None:
    _load_all()
    return next((scheme for scheme in _SCHEMES if scheme.fits(plan)), None)


@cache
def _load_all() -> None:
    for _, module, _ in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module}")
