"""grid(): a spec and axes of settings → every point of their product.

An axis is `PATH=VALUE,VALUE,…`: a list in YAML's flow style without its brackets, so that a value with commas inside
brackets, braces or quotes is one value: `unet.levels=[64, 128],[32, 64, 128]` has two. Variants are an axis as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from netspec import api, document
from netspec.document import Document
from netspec.errors import Diagnostic, Source, Span, UsageError
from netspec.layers import Setting, parse_path

MAX_POINTS = 1_000_000
VARIANT = "variant"  # the axis of variants


@dataclass(frozen=True)
class Axis:
    """One thing that varies: its path, and for each value its words and what to lay over the spec."""

    path: str
    values: tuple[str, ...]
    settings: tuple[Setting, ...] = ()  # none of the axis of variants, which picks the document


@dataclass(frozen=True)
class Grid:
    """A spec under each variant, and the axes that are laid over it. Points count from 0, the last axis fastest."""

    documents: tuple[Document, ...]
    axes: tuple[Axis, ...]

    def __len__(self) -> int:
        return prod(len(axis.values) for axis in self.axes)

    def at(self, index: int) -> tuple[Document, list[Setting]]:
        """The document of a point, and the settings over it."""
        places = self._places(index)
        found, settings = self.documents[0], []
        for axis, place in zip(self.axes, places, strict=True):
            if axis.settings:
                settings.append(axis.settings[place])
            else:
                found = self.documents[place]
        return found, settings

    def words(self, index: int) -> tuple[str, ...]:
        """The values of a point, one for each axis."""
        return tuple(axis.values[place] for axis, place in zip(self.axes, self._places(index), strict=True))

    def _places(self, index: int) -> list[int]:
        places = []
        for axis in reversed(self.axes):
            index, place = divmod(index, len(axis.values))
            places.append(place)
        return places[::-1]

    @property
    def varying(self) -> list[tuple[int, str]]:
        """The axes with more than one value: place among the axes, and the shortest name that tells it apart."""
        many = [(number, axis.path) for number, axis in enumerate(self.axes) if len(axis.values) > 1]
        return [(number, _short(path, [other for _, other in many])) for number, path in many]


def grid(spec: str, axes: Sequence[str] = (), variants: Sequence[str] = ()) -> Grid:
    """The grid of `PATH=VALUE,…` axes over a spec, or over some of its variants.

    Raises SpecError for a spec or variant that cannot be read; UsageError NS921 for an axis without `=`, NS943 for one
    without values, for two axes of one path, and for more than a million points.
    """
    names = [name for text in variants for name in text.split(",")]
    documents = tuple(api.composed(spec, variant=name) for name in dict.fromkeys(names)) or (api.composed(spec),)
    found = [Axis(VARIANT, tuple(dict.fromkeys(names)))] if names else []
    source = document.argument_source(axes)
    found += [_axis(source, number, text) for number, text in enumerate(axes)]
    for number, axis in enumerate(found):
        if axis.path in [other.path for other in found[:number]]:
            help = (f"write --set {axis.path}=value,value once",)
            raise UsageError(Diagnostic("NS943", f"two axes are called `{axis.path}`", help=help))
    made = Grid(documents, tuple(found))
    if len(made) > MAX_POINTS:
        message = f"the grid has {len(made):,} points, more than {MAX_POINTS:,}"
        raise UsageError(Diagnostic("NS943", message, help=("give fewer values, or sweep one part at a time",)))
    return made


def _axis(source: Source, number: int, text: str) -> Axis:
    key, equals, _ = text.partition("=")
    line = number + 1
    span = Span(source, line, 1, line, len(key) + 1)
    if not equals:
        help = ("write --set path=value,value",)
        raise UsageError(Diagnostic("NS921", f"`--set {text}` has no `=`", span, help=help))
    values = document.parse_values(source, line, len(key) + 2)
    if not values:
        help = ("write --set path=value,value; an empty text is `''`",)
        raise UsageError(Diagnostic("NS943", f"`--set {text}` has no value", span, help=help))
    path = parse_path(key)
    settings: dict[str, Setting] = {}
    for value, places in values:
        token = places[()].value
        words = source.lines[token.line - 1][token.column - 1 : token.end_column - 1].strip() or "''"
        settings.setdefault(words, Setting(path, value, places, span, key))  # a value given twice is one point
    return Axis(key, tuple(settings), tuple(settings.values()))


def _short(path: str, paths: Sequence[str]) -> str:
    """`levels[0].channels` of `unet.levels[0].channels`, where no other path ends so."""
    tail = path.partition(".")[2]
    return tail if tail and sum(other.endswith(f".{tail}") for other in paths) == 1 else path
