"""YAML events → plain data with a place for every key and value. The parser is PyYAML's; this builds no object of it.

Events, not nodes: what is too deep is refused before anything recurses into it, and what is not plain data (tags,
anchors, merge keys) is reported while reading goes on, so that all findings of a file come at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

import yaml

from netspec.document import refusals, syntax
from netspec.document.scalars import parse_scalar, shorten
from netspec.errors import Diagnostic, DocumentError, Source, Span, SpecPath, path_text

MAX_DEPTH: Final = 64  # levels of mappings and lists, the root counted
MAX_VALUES: Final = 50_000  # a spec of 2,000 lines has about 10,000; bounds time and memory for short values
MAX_FINDINGS: Final = 50
_LONGEST_KEY = 256
_BLOCK_STYLES = ("|", ">")

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # only its event stream is used


@dataclass(frozen=True, slots=True)
class Place:
    """Where one value of a document was written.

    `key` is the key's token (None for list items and the root). `value` is a scalar's token, or the whole extent of a
    mapping or list; a value left empty has a span without width. `origin` is "" for the file itself and the words for
    another layer otherwise (`--variant b-2`, `--set`, `convention ddpm`).
    """

    key: Span | None
    value: Span
    origin: str = ""


class _Stop(Exception):
    """Reading cannot or should not go on; the reason is already among the findings."""


class Composer:
    """One reading of one text. After `read`, `places` has every place and `found` every finding."""

    def __init__(self, source: Source, text: str) -> None:
        self.places: dict[SpecPath, Place] = {}
        self.found: list[Diagnostic] = []
        self._source, self._text = source, text
        self._next: Callable[[], Any] = _Loader(text).get_event
        self._anchors: dict[str, refusals.Anchor] = {}
        self._depth = 0
        self._values = 0
        self._end = (1, 1)  # line and column behind the last value read

    def read(self) -> Any:
        """The data, meaningless when there are findings. Raises nothing: what is wrong goes to `found`."""
        data = None
        try:
            data = self._document()
        except _Stop:
            pass
        except yaml.YAMLError as error:
            self.found.append(syntax.translate(error, self._source, self._text))
        self.found.extend(refusals.anchor(name, anchor) for name, anchor in list(self._anchors.items())[:MAX_FINDINGS])
        return data

    def _document(self) -> Any:
        self._next()  # the stream
        if type(self._next()) is yaml.StreamEndEvent:
            return None
        data = self._node(self._next(), (), None)
        # The parser is not asked what follows: a second document's directives could keep it busy for seconds.
        after = syntax.leftover(self._text, self._next().start_mark.index)
        if after is not None:
            self._report(self._after_the_end(after))
        return data

    def _after_the_end(self, index: int) -> Diagnostic:
        if not self._text.startswith(("---", "%"), index):
            return syntax.complain(self._source, self._text, "expected <document start>", index)
        return Diagnostic(
            "NS012",
            "more than one document in a file",
            syntax.span_at(self._source, self._text, index, 3 if self._text.startswith("-", index) else 1),
            "a second document begins here",
            help=("write one spec per file; several sizes of one network are `variants`",),
        )

    def _node(self, event: Any, path: SpecPath, key: Span | None) -> Any:
        self._values += 1
        if self._values > MAX_VALUES:
            self._too_many(event)
        kind = type(event)
        span = self._span(event)
        if event.anchor is not None:
            self._note_anchor(event, span, path)
        if kind is yaml.AliasEvent:
            value = None
        elif kind is yaml.ScalarEvent:
            if event.tag is not None:
                self._report(refusals.tag(event.tag, span, path))
            value = event.value if event.style else self._plain(event.value, span, path)
        else:
            value, span = self._collection(event, span, path)
        self.places[path] = Place(key, span)
        self._end = (span.end_line, span.end_column)
        return value

    def _plain(self, text: str, span: Span, path: SpecPath) -> Any:
        try:
            return parse_scalar(text)
        except DocumentError as error:
            self._report(replace(error.diagnostics[0], span=span, path=path_text(path)))
            return 0

    def _collection(self, event: Any, opened: Span, path: SpecPath) -> tuple[Any, Span]:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            self._too_deep(event)
        tagged = len(self.found)
        if event.tag is not None:
            self._report(refusals.tag(event.tag, opened, path))
        value = self._mapping(path) if type(event) is yaml.MappingStartEvent else self._list(path)
        self._depth -= 1
        span = Span(self._source, opened.line, opened.column, *self._end)
        if event.tag is not None:  # now that the end is known
            self.found[tagged] = replace(self.found[tagged], span=span)
        return value, span

    def _list(self, path: SpecPath) -> list[Any]:
        items: list[Any] = []
        event = self._next()
        while type(event) is not yaml.SequenceEndEvent:
            items.append(self._node(event, (*path, len(items)), None))
            event = self._next()
        self._leave(event)
        return items

    def _mapping(self, path: SpecPath) -> dict[str, Any]:
        data: dict[str, Any] = {}
        given: dict[str, Span] = {}
        event = self._next()
        while type(event) is not yaml.MappingEndEvent:
            name, span = self._key(event, path)
            value_path = (*path, name)
            if name in given:
                self._report(refusals.duplicate(name, given[name], span, value_path))
                self._node(self._next(), value_path, span)
            else:
                given[name] = span
                data[name] = self._node(self._next(), value_path, span)
            event = self._next()
        self._leave(event)
        return data

    def _key(self, event: Any, path: SpecPath) -> tuple[str, Span]:
        """The key's word and place. A key that is no word is reported and stands in as a word."""
        span = self._span(event)
        if type(event) is not yaml.ScalarEvent:
            self._report(refusals.not_a_word("", _KINDS.get(type(event), "an alias"), span, path))
            self._node(event, (*path, "?"), None)
            return f"?{len(self.found)}", span
        name: str = event.value
        if event.tag is not None:
            self._report(refusals.tag(event.tag, span, (*path, shorten(name))))
        if event.anchor is not None:
            self._note_anchor(event, span, (*path, shorten(name)))
        if not event.style:
            if name == "<<":
                self._report(refusals.merge(span, path))
                return f"<<{len(self.found)}", span
            value = self._plain(name, span, path)
            if type(value) is not str:
                self._report(refusals.not_a_word(name, _KINDS[type(value)], span, path))
        if len(name) > _LONGEST_KEY:
            self._report(refusals.long_key(name, span, path))
            return shorten(name), span
        return name, span

    def _span(self, event: Any) -> Span:
        start, end = event.start_mark, event.end_mark
        line, column = start.line + 1, start.column + 1
        if type(event) is yaml.ScalarEvent and event.style in _BLOCK_STYLES:
            # The parser counts the blank lines and the line break behind a block of text as part of it.
            lines = self._text[start.index : end.index].rstrip().splitlines()
            end_column = len(lines[-1]) + (column if len(lines) == 1 else 1)
            return Span(self._source, line, column, start.line + len(lines), end_column)
        return Span(self._source, line, column, end.line + 1, end.column + 1)

    def _leave(self, event: Any) -> None:
        """Flow mappings and lists end with their bracket; the others with their last value, not with the next key."""
        if event.start_mark.index != event.end_mark.index:
            self._end = (event.end_mark.line + 1, event.end_mark.column + 1)

    def _note_anchor(self, event: Any, span: Span, path: SpecPath) -> None:
        name: str = event.anchor
        sign = "*" if type(event) is yaml.AliasEvent else "&"
        anchor = self._anchors.setdefault(name, refusals.Anchor(path))
        if sign == "&" and anchor.defined is None:
            index = self._text.find(sign + name, event.start_mark.index)  # behind a tag, if there is one
            anchor.defined = syntax.span_at(self._source, self._text, index, 1 + len(name))
            anchor.path = path
        elif sign == "*":
            anchor.uses += 1
            if len(anchor.used) < refusals.ALIASES_SHOWN:
                anchor.used.append(span)
        if len(self._anchors) > MAX_FINDINGS:
            raise _Stop

    def _too_deep(self, event: Any) -> None:
        self._report(
            Diagnostic(
                "NS006",
                f"more than {MAX_DEPTH} levels of mappings and lists",
                syntax.span_at(self._source, self._text, event.start_mark.index, 1),
                f"level {self._depth}",
            )
        )
        raise _Stop

    def _too_many(self, event: Any) -> None:
        self._report(
            Diagnostic(
                "NS007",
                f"more than {MAX_VALUES:,} values",
                syntax.span_at(self._source, self._text, event.start_mark.index),
                "reading stopped here",
            )
        )
        raise _Stop

    def _report(self, finding: Diagnostic) -> None:
        if len(self.found) + 1 < MAX_FINDINGS:
            self.found.append(finding)
            return
        note = f"reading stopped here, after {MAX_FINDINGS} findings"
        self.found.append(replace(finding, notes=(*finding.notes, note)))
        raise _Stop


_KINDS: dict[type, str] = {
    int: "a number",
    float: "a number",
    bool: "true or false",
    type(None): "empty",
    yaml.MappingStartEvent: "a mapping",
    yaml.SequenceStartEvent: "a list",
}
