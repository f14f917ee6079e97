"""Where a finding points: the span of a key or value in a document, also where layers were merged or nothing stands."""

from __future__ import annotations

from netspec.document import Document, Place
from netspec.errors import Source, Span, SpecPath


def key_span(document: Document, path: SpecPath) -> Span:
    """The key that a value stands under; a list item has none, so its first token."""
    place = _nearest(document, path)
    return place.key or _first_token(document, path, place.value)


def value_span(document: Document, path: SpecPath) -> Span:
    """The value; its key where the value takes several lines or no room at all."""
    place = _nearest(document, path)
    span = place.value
    empty = (span.line, span.column) == (span.end_line, span.end_column)
    if span.line == span.end_line and not empty:
        return span
    return place.key or _first_token(document, path, span)


def owner_span(document: Document, path: SpecPath) -> Span:
    """Where something is missing from a mapping: the mapping's key, or the file's first key."""
    if path:
        return key_span(document, path)
    for key in document.data:
        if (place := document.places.get((key,))) and place.key:
            return place.key
    return value_span(document, ())


def written(document: Document, path: SpecPath) -> str:
    """A scalar as it was typed, quotes and all; "" where it takes several lines."""
    place = document.places.get(path)
    if place is None or place.value.line != place.value.end_line:
        return ""
    span = place.value
    lines = span.source.lines
    return lines[span.line - 1][span.column - 1 : span.end_column - 1] if span.line <= len(lines) else ""


def _nearest(document: Document, path: SpecPath) -> Place:
    """A value that a layer brought without a place of its own points at what holds it."""
    for end in range(len(path), -1, -1):
        if (place := document.places.get(path[:end])) is not None:
            return place
    source: Source = document.source
    return Place(None, Span(source, 1, 1, 1, 1))


def _first_token(document: Document, path: SpecPath, span: Span) -> Span:
    if span.line == span.end_line:
        return span
    inside = (p.key or p.value for q, p in document.places.items() if q[: len(path)] == path and len(q) > len(path))
    first = min(inside, key=lambda each: each.order, default=None)
    return first or Span(span.source, span.line, span.column, span.line, span.column + 1)
