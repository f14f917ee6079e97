"""Other programs' descriptions of networks: their settings become a spec, a spec becomes their settings.

An **importer** knows one network class of another program: `to_spec` turns its settings into the data of a spec,
`to_config` goes back. What class a file is for is read from the file; nothing else knows the importers by name.

reading.py      a file → its class and settings → the text of a spec
foreign.py      another program's settings, read so that none is overlooked
drafts.py       the plan of what they come to
spelling.py     a resolved spec → the same in as few words as possible
writing.py      that as the YAML that a person would write
exporting.py    a spec → the settings of the class that can express it
comparing.py    where two specs describe different networks
matching.py     which shipped spec describes a network
checkpoint/     a bare checkpoint's shapes → settings
"""

from __future__ import annotations

import importlib
import pkgutil
from abc import abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from types import MappingProxyType
from typing import Any, ClassVar

from netspec.importers.foreign import Config
from netspec.plan import Plan
from netspec.spec import Spec

BATCH = {"min": 1, "opt": 2, "max": 8}  # no file says it


@dataclass(frozen=True)
class Options:
    """What files may leave open; None where nobody has said.

    `heads` or `head_dim`: of attention. `groups`: of group norms. `size`: side of the image or latent. `tokens`: length
    of the context. `classes`: of a label table, the one for no class not counted. `axes`: channels of a head that each
    rotary coordinate turns. `convention`: whose silent numerics hold. `part`: which network of a file with several.
    """

    name: str | None = None
    heads: int | None = None
    head_dim: int | None = None
    groups: int | None = None
    size: int | None = None
    tokens: int | None = None
    classes: int | None = None
    axes: tuple[int, ...] | None = None
    convention: str | None = None
    part: str | None = None

    @property
    def given(self) -> frozenset[str]:
        """The names of those that somebody has said."""
        return frozenset(each.name for each in fields(self) if getattr(self, each.name) is not None)


@dataclass(frozen=True)
class Draft:
    """A spec before it is resolved: its data, remarks on inputs and output by name, and what had to be assumed.

    `options` are those that could make a difference to it.
    """

    data: Mapping[str, Any]
    comments: Mapping[str, str] = field(default_factory=dict)
    assumed: tuple[str, ...] = ()
    options: frozenset[str] = frozenset({"name", "size", "tokens"})


class Importer:
    """One network class of another program. A subclass with `of=` registers itself under both names.

    `defaults` are the values that the class takes for settings that a file leaves out.
    """

    cls: ClassVar[str] = ""
    program: ClassVar[str] = "diffusers"
    defaults: ClassVar[Mapping[str, Any]] = MappingProxyType({})

    def __init_subclass__(cls, *, of: str) -> None:
        super().__init_subclass__()
        if of:
            cls.cls = of
            _IMPORTERS[f"{cls.program} {of}"] = cls

    @classmethod
    @abstractmethod
    def to_spec(cls, config: Config, options: Options) -> Draft:
        """The spec of a network with these settings. Raises ForeignError with all that cannot be said."""

    @classmethod
    def fits(cls, spec: Spec) -> bool:
        """Whether the class is of the kind of the spec's network: `to_config` may be asked."""
        return False

    @classmethod
    def to_config(cls, plan: Plan) -> dict[str, Any]:
        """The settings that come closest to a spec; what they cannot express is found by comparing (exporting.py)."""
        raise TypeError(f"{cls.cls} only reads")


_IMPORTERS: dict[str, type[Importer]] = {}


@cache
def importers() -> Mapping[str, type[Importer]]:
    """Every importer by its program and the name of its class."""
    load_modules(__path__, __name__)
    return MappingProxyType(_IMPORTERS)


def load_modules(path: Iterable[str], package: str) -> None:
    """Import every module of a package: each registers what it knows."""
    for _, module, _ in pkgutil.iter_modules(path):
        importlib.import_module(f"{package}.{module}")
