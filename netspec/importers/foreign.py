"""Config: another program's settings, asked for one by one, so that none is overlooked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NoReturn

from netspec.document import Document, loads
from netspec.errors import Diagnostic, ForeignError, SpecPath, path_text


class Config:
    """The settings of one network class, with its own defaults for what the file does not say.

    `root` is their place in the file. What cannot be translated is noted by `refuse` and its kin and raised by
    `finish`, all of it at once; where `lenient`, the nearest thing that can be said stands for it.
    """

    def __init__(
        self, document: Document, root: SpecPath, defaults: Mapping[str, Any], *, lenient: bool = False
    ) -> None:
        self.document, self.root, self.defaults, self.lenient = document, root, defaults, lenient
        self.data: Mapping[str, Any] = document.data
        for part in root:
            self.data = self.data[part]  # type: ignore[index]  # a path that was found
        self._asked: set[str] = set()
        self._found: list[Diagnostic] = []
        self._inside: list[Config] = []

    @classmethod
    def of(cls, data: Mapping[str, Any], defaults: Mapping[str, Any], *, lenient: bool = False) -> Config:
        """Settings that no file holds."""
        return cls(loads(json.dumps(data, indent=2), "config.json"), (), defaults, lenient=lenient)

    def __getitem__(self, key: str) -> Any:
        """The value of a setting, or the class's default. Raises ForeignError NS643 where it has neither."""
        self._asked.add(key)
        if key in self.data:
            return self.data[key]
        if key not in self.defaults:
            raise ForeignError(self._at("NS643", f"there is no `{key}`", key, "without it nothing can be said"))
        return self.defaults[key]

    def among(self, key: str, *values: Any, why: str) -> Any:
        """The value, where it is one of these; another one is refused, and the first of these stands in for it."""
        if (value := self[key]) in values:
            return value
        self.refuse(key, why)
        return values[0]

    def inside(self, key: str, defaults: Mapping[str, Any]) -> Config:
        """Settings that lie one level deeper; what is wrong with them is told with the rest."""
        if not isinstance(self[key], Mapping):
            self.fail(key, "settings are expected")
        deeper = Config(self.document, (*self.root, key), defaults, lenient=self.lenient)
        self._inside.append(deeper)
        return deeper

    def number(self, key: str) -> int:
        """A whole number, at least 1."""
        value = self[key]
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            return value
        self.refuse(key, "a whole number is expected")
        return 1

    def each(self, key: str, count: int) -> list[Any]:
        """One value for each of `count` levels, from a list of them or from one that all share."""
        value = self[key]
        if not isinstance(value, list):
            return [value] * count
        if len(value) != count:
            self.contradict(key, f"{len(value)} values for {count} levels")
        return [*value, *[value[-1]] * count][:count]

    def without(self, rules: Mapping[str, tuple[Any, str]]) -> None:
        """Settings that may only have one value, or be switched off: `{key: (value, what another would mean)}`."""
        for key, (value, why) in rules.items():
            if self[key] != value and not (_is_nothing(self[key]) and not value) and self[key] is not None:
                self.refuse(key, why)

    def ignore(self, *keys: str) -> None:
        """Settings that change nothing about what the network computes."""
        self._asked.update(keys)

    def refuse(self, key: str, why: str) -> None:
        """The value of a setting has no counterpart; `why` says what it means."""
        self._found.append(self._at("NS642", f"`{key}: {_brief(self[key])}` cannot be said in a spec", key, why))

    def contradict(self, key: str, why: str) -> None:
        """The value of a setting does not go with the others."""
        self._found.append(self._at("NS643", f"`{key}` contradicts the other settings", key, why))

    def finish(self) -> None:
        """Raises ForeignError with everything that was refused, and with every setting that nobody asked for and
        that says something."""
        found = [each for config in (self, *self._inside) for each in config.findings()]
        if found and not self.lenient:
            raise ForeignError(*sorted(found, key=lambda each: each.span.order if each.span else ("", 0, 0)))

    def findings(self) -> list[Diagnostic]:
        """What was refused, and the settings that nobody asked for."""
        unasked = [
            self._at("NS641", f"`{key}` has no counterpart in a spec", str(key), "not known here")
            for key, value in self.data.items()
            if key not in self._asked and not str(key).startswith("_")
            if not _is_nothing(value) and value != self.defaults.get(str(key))
        ]
        return self._found + unasked

    def fail(self, key: str, why: str) -> NoReturn:
        """Refuse a setting without which nothing else can be read."""
        self.refuse(key, why)
        raise ForeignError(*self._found)

    def _at(self, code: str, message: str, key: str, label: str) -> Diagnostic:
        path: SpecPath = (*self.root, key)
        if path not in self.document.places:  # the file relies on the class's default
            return Diagnostic(code, f"{message}: {label}", path=path_text(path))
        return Diagnostic(code, message, self.document.places[path].key, label, path=path_text(path))


def _is_nothing(value: Any) -> bool:
    return value is None or value is False


def _brief(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}…"
