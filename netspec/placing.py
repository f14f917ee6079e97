"""diagnose(): problems that components found → diagnostics at their place in the spec, one for each cause."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from netspec.builder import Placed
from netspec.errors import Diagnostic, Label, Span, SpecPath, path_text
from netspec.spec import Spec


@dataclass
class _Cause:
    """One fault in the spec and every level that it hits."""

    first: Placed
    span: Span
    path: SpecPath
    fits: frozenset[int]
    subjects: list[str] = field(default_factory=list)


def diagnose(spec: Spec, problems: Iterable[Placed]) -> list[Diagnostic]:
    """The same choice failing at four levels is one error that lists the four."""
    causes: dict[tuple[str, Span], _Cause] = {}
    for placed in problems:
        path, span = _locate(spec, placed)
        cause = causes.setdefault((placed.problem.code, span), _Cause(placed, span, path, placed.problem.fits))
        cause.fits &= placed.problem.fits
        if placed.problem.subject not in cause.subjects:
            cause.subjects.append(placed.problem.subject)
    return [_diagnostic(spec, cause) for cause in causes.values()]


def _locate(spec: Spec, placed: Placed) -> tuple[SpecPath, Span]:
    """The most exact place that was written: the field, the component, the row, the family."""
    path: SpecPath = (*placed.at, *(placed.problem.field.split(".") if placed.problem.field else ()))
    assert spec.document is not None  # lower() works on resolved specs
    places = spec.document.places
    for candidate in (path[:length] for length in range(len(path), 1, -1)):
        if candidate in places:
            place = places[candidate]
            scalar = place.value.line == place.value.end_line and candidate == path
            return candidate, place.value if scalar or place.key is None else place.key
    row = placed.near if placed.near in places else path[:1]
    assert row is not None
    return row, places[row].key or places[row].value


def _diagnostic(spec: Spec, cause: _Cause) -> Diagnostic:
    problem = cause.first.problem
    others = cause.subjects[1:]
    notes = (*((f"same for {', '.join(others)}",) if others and others[0] else ()), *problem.notes)
    helps = problem.help
    if problem.fits:
        values = ", ".join(str(value) for value in sorted(cause.fits)[:24]) or "none: choose other channels"
        words = "values that fit every level" if others else "values that fit"
        helps = (f"{words}: {values}", *helps)
    return Diagnostic(
        problem.code,
        problem.message,
        cause.span,
        problem.label,
        labels=tuple(_row_label(spec, cause)),
        notes=notes,
        help=helps,
        path=path_text(cause.path),
    )


def _row_label(spec: Spec, cause: _Cause) -> Iterable[Label]:
    """A second span on the row whose channels made the choice fail."""
    near = cause.first.near
    if near is None or not cause.first.problem.subject or len(near) < 2:
        return
    assert spec.document is not None
    for key in ("channels", "multiplier"):
        place = spec.document.places.get((*near, key))
        if place is not None and place.value != cause.span:
            yield Label(place.value, "this level")
            return
    place = spec.document.places.get(near)
    if place is not None and place.value != cause.span and near[0] in ("unet", "dit"):
        words = "this level" if near[1:2] == ("levels",) else "this width"
        yield Label(place.value, words)
