"""The resolved spec as an outline: a line for each choice, where it comes from, and what it means."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from netspec import registry, schema
from netspec.errors import SpecPath, path_text
from netspec.origins import text
from netspec.report.help import Help, Node, meaning, word
from netspec.spec import Spec, data

_RANGE = ("min", "opt", "max")


@dataclass(frozen=True, slots=True)
class Choice:
    """One line. `value` is "" for a mapping or list that has lines of its own; `written` says that the author wrote it,
    or something inside it; `help` is what the key means, and what the chosen word does."""

    path: str
    depth: int
    key: str
    value: str
    source: str
    written: bool
    help: str


def choices(spec: Spec, origins: Mapping[str, str]) -> list[Choice]:
    """Every choice in the spec's order. A component's name stands on the line of its key."""
    content = data(spec)
    reader = Help(schema.current())
    outline = _Outline(reader, origins)
    forms = reader.top(content)
    return [line for key, value in content.items() for line in outline.lines((key,), value, forms)]


class _Outline:
    def __init__(self, reader: Help, origins: Mapping[str, str]) -> None:
        self.reader, self.origins = reader, origins
        self.tags = {base.tag for base in registry.kinds().values() if base.tag}

    def lines(self, path: SpecPath, value: Any, above: Sequence[Node]) -> Iterator[Choice]:
        """A value and what is inside it."""
        key = path[-1]
        forms = self.reader.child(above, key, value)
        inside = list(self._inside(path, value, forms))
        shown, told = self._shown(path, value, forms)
        source = self._source(path, value)
        written = _is_written(source) or any(line.written for line in inside)
        label = f"[{key}]" if isinstance(key, int) else str(key)
        help = " ".join(part for part in (meaning(forms), told) if part)
        yield Choice(path_text(path), len(path) - 1, label, shown, source, written, help)
        yield from inside

    def _inside(self, path: SpecPath, value: Any, forms: Sequence[Node]) -> Iterator[Choice]:
        if isinstance(value, dict) and tuple(value) != _RANGE:
            for key, item in value.items():
                if key not in self.tags or not isinstance(item, str):
                    yield from self.lines((*path, key), item, forms)
        elif isinstance(value, list) and any(isinstance(item, dict | list) for item in value):
            for index, item in enumerate(value):
                yield from self.lines((*path, index), item, forms)

    def _shown(self, path: SpecPath, value: Any, forms: Sequence[Node]) -> tuple[str, str]:
        """A value in one line, and what its word means."""
        if isinstance(value, dict):
            if tuple(value) == _RANGE:
                return " · ".join(f"{key} {number}" for key, number in value.items()), ""
            tag = self._tag(value)
            if tag is None:
                return ("", "") if value else ("{}", "")
            inside = self.reader.child(forms, tag, value[tag])
            return text(value[tag]), _sentence(value[tag], word(inside, value[tag]))
        if isinstance(value, list) and any(isinstance(item, dict | list) for item in value):
            return "", ""
        return text(value), _sentence(value, word(forms, value))

    def _tag(self, value: Mapping[str, Any]) -> str | None:
        return next((key for key, item in value.items() if key in self.tags and isinstance(item, str)), None)

    def _source(self, path: SpecPath, value: Any) -> str:
        """A leaf's own, a component's that of its name, a range's that of its first number."""
        if isinstance(value, dict):
            tag = _RANGE[0] if tuple(value) == _RANGE else self._tag(value)
            return self.origins.get(path_text((*path, tag)), "") if tag else ""
        return self.origins.get(path_text(path), "")


def _sentence(value: Any, told: str) -> str:
    return f"{text(value)}: {told}" if told else ""


def _is_written(source: str) -> bool:
    return bool(source) and source != "default" and not source.startswith("convention ")
