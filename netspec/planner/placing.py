"""diagnose(): problems that components found → diagnostics at their place in the spec, one for each cause."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from netspec.builder import Placed
from netspec.document import Place
from netspec.errors import Diagnostic, Label, Span, SpecPath, path_text
from netspec.spec import Spec

_MOST_FITS = 24  # values that a help lists


@dataclass(frozen=True)
class _Spot:
    """Where a problem is shown. `written`: the choice at fault stands there, rather than being left out."""

    path: SpecPath
    span: Span
    written: bool


@dataclass
class _Cause:
    """One fault in the spec and everything that it hits."""

    first: Placed
    spot: _Spot
    fits: frozenset[int]
    subjects: dict[str, None] = field(default_factory=dict)  # in the order of the network, each once
    paths: dict[SpecPath, None] = field(default_factory=dict)


def diagnose(spec: Spec, problems: Iterable[Placed]) -> list[Diagnostic]:
    """The same choice failing at four levels is one error that lists the four."""
    assert spec.document is not None  # lower() works on resolved specs
    places = spec.document.places
    causes: dict[Hashable, _Cause] = {}
    for placed in problems:
        spot = _locate(places, placed)
        cause = causes.setdefault(_cause_key(placed, spot), _Cause(placed, spot, placed.problem.fits))
        cause.fits &= placed.problem.fits
        cause.subjects[placed.problem.subject] = None
        cause.paths[spot.path] = None
    return [_diagnostic(places, cause) for cause in causes.values()]


def _cause_key(placed: Placed, spot: _Spot) -> Hashable:
    """Equal for problems with one cause: a choice that is written once, or a default that nobody wrote."""
    problem = placed.problem
    if spot.written:
        return problem.code, spot.span
    if not problem.subject:
        return problem.code, problem.message
    return problem.code, tuple(part for part in _choice(placed) if isinstance(part, str))


def _choice(placed: Placed) -> SpecPath:
    """The path of the choice at fault, written or not."""
    return (*placed.at, *(placed.problem.field.split(".") if placed.problem.field else ()))


def _locate(places: Mapping[SpecPath, Place], placed: Placed) -> _Spot:
    """The most exact place that was written: the size, the field, the component, the row's width, the family."""
    path, problem = _choice(placed), placed.problem
    if problem.dim:
        size: SpecPath = ("dims", problem.dim, "max")
        size = size if size in places else size[:2]  # `height: 64` is all three
        return _Spot(size, places[size].value, written=True)
    for known in (path[:length] for length in range(len(path), 1, -1)):
        if known in places:
            place = places[known]
            exact = known == path and place.value.line == place.value.end_line
            return _Spot(known, place.value if exact or place.key is None else place.key, written=known == path)
    row = _width(places, placed.near) if problem.subject else None
    if row is not None:
        return _Spot(row, places[row].value, written=False)
    return _Spot(path[:1], places[path[:1]].key or places[path[:1]].value, written=False)


def _width(places: Mapping[SpecPath, Place], near: SpecPath | None) -> SpecPath | None:
    """Where the width of a row is written: its channels, else the row itself."""
    if near is None or len(near) < 2:
        return None
    return next((path for path in ((*near, "channels"), (*near, "multiplier"), near) if path in places), None)


def _diagnostic(places: Mapping[SpecPath, Place], cause: _Cause) -> Diagnostic:
    problem = cause.first.problem
    return Diagnostic(
        problem.code,
        problem.message,
        cause.spot.span,
        problem.label,
        labels=tuple(_second_place(places, cause)),
        notes=(*_also(cause), *problem.notes),
        help=(*_fitting(cause), *problem.help),
        path=path_text(cause.spot.path),
    )


def _also(cause: _Cause) -> Iterator[str]:
    """What else the cause hits: other widths, or other rows."""
    _, *others = cause.subjects
    _, *paths = cause.paths
    if others:
        yield f"same for {', '.join(others)}"
    elif not cause.spot.written and paths:
        yield f"same for {', '.join(path_text(path) for path in paths)}"


def _fitting(cause: _Cause) -> Iterator[str]:
    if cause.first.problem.fits:
        choice = "" if cause.spot.written else f" of {path_text(_choice(cause.first))}"
        words = f"values{choice} that fit" + (" every level" if len(cause.subjects) > 1 else "")
        values = ", ".join(str(value) for value in sorted(cause.fits)[:_MOST_FITS]) or "none: choose other channels"
        yield f"{words}: {values}"


def _second_place(places: Mapping[SpecPath, Place], cause: _Cause) -> Iterator[Label]:
    """The other side of the relation: the grid that is too small, or the row whose width does not split."""
    placed = cause.first
    if placed.problem.dim:
        choice = _choice(placed)
        if choice in places:
            yield Label(places[choice].value, placed.problem.field)
        return
    row = _width(places, placed.near) if placed.problem.subject else None
    if row is not None and places[row].value != cause.spot.span:
        yield Label(places[row].value, "this level" if "levels" in row else "this width")
