"""What a mistaken key or word was meant to be: nearby spelling, another tool's word, a key of another level."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import islice
from typing import Any, Final, TypeAlias

from netspec.errors import SpecPath
from netspec.validation.synonyms import NAMES

Node: TypeAlias = Mapping[str, Any]
Pattern: TypeAlias = tuple[str, ...]

ROW: Final = "[]"
ANY: Final = "<>"
_NAMED = ("inputs", "outputs", "dims", "conditioning", "targets", "variants")  # mappings whose keys are the user's
_CUTOFF = 0.75
_SHORT, _SHORT_CUTOFF = 4, 0.66  # one wrong letter of three
_CANDIDATES = 200  # words compared; a spec has a few
_FAR = 2  # steps between two mappings, beyond which a key's namesake is a coincidence


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that `word` most likely is: a slip of the fingers, another case, or cut short."""
    words = list(islice(known, _CANDIDATES))
    plain = word.lower().replace("-", "_").replace(" ", "_")
    if plain in words:
        return plain
    if swapped := next((each for each in words if sorted(each) == sorted(plain)), None):
        return swapped
    cutoff = _CUTOFF if len(plain) > _SHORT else _SHORT_CUTOFF
    if close := get_close_matches(plain, words, n=1, cutoff=cutoff):
        return close[0]
    longer = [each for each in words if each.startswith(plain)] if len(plain) > 2 else []
    return longer[0] if len(longer) == 1 else None


def nearest_name(word: str, known: Iterable[str]) -> str | None:
    """As `nearest`, for names of components and closed words, where other tools' names count first."""
    words = list(known)
    foreign = NAMES.get(word.lower())
    return foreign if foreign in words else nearest(word, words)


@dataclass(frozen=True, slots=True)
class Home:
    """A mapping of the language that has a certain key; `component` is `embed: label` where only that one has it."""

    pattern: Pattern
    component: str = ""

    @property
    def words(self) -> str:
        if self.component:
            return f"`{self.component}`"
        if not self.pattern:
            return "the top level"
        if self.pattern[-1] == ROW:
            return f"a row of `{self.pattern[-2]}`"
        if self.pattern[-1] == ANY:
            return f"an entry of `{self.pattern[-2]}`"
        return f"`{'.'.join(self.pattern).replace('.' + ROW, '[]')}`"


def pattern_of(path: SpecPath) -> Pattern:
    """`("conditioning", "t")` as `("conditioning", "<>")`: the place in the language that a place in a spec has."""
    parts = [ROW if isinstance(part, int) else part for part in path]
    if len(parts) > 1 and parts[0] in _NAMED:
        parts[1] = ANY
    return tuple(parts)


class Homes:
    """Every mapping that a schema describes, by the keys it has."""

    def __init__(self, schema: Node) -> None:
        self._defs: Node = schema["$defs"]
        self._homes: dict[str, list[Home]] = {}
        self._walk(schema, (), "", ())

    def belongs(self, key: str, path: SpecPath, families: frozenset[str]) -> str | None:
        """`multiplier` belongs to a row of `levels`: for a key that stands at `path` and is known elsewhere.
        Of other families than the spec's own, nothing is said."""
        here = pattern_of(path)
        homes = [home for home in self._homes.get(key, ()) if not home.pattern or home.pattern[0] not in families]
        same = [home for home in homes if home.pattern == here and home.component]
        near = same or [home for home in homes if home.pattern != here and not home.component]
        if not near:
            return None
        least = min(_steps(home.pattern, here) for home in near)
        if least > _FAR:
            return None
        places = sorted({home.words for home in near if _steps(home.pattern, here) == least})
        return f"`{key}` belongs to " + " or ".join(places[:3])

    def of_another_component(self, key: str, path: SpecPath) -> bool:
        """Whether another component than the one at `path`, which lacks the key, would have it there."""
        here = pattern_of(path)
        return any(home.pattern == here and home.component for home in self._homes.get(key, ()))

    def _walk(self, node: Node, pattern: Pattern, component: str, seen: tuple[str, ...]) -> None:
        target = node.get("$ref", "").removeprefix("#/$defs/")
        if target and target not in seen:
            self._walk(self._defs[target], pattern, component, (*seen, target))
        for key, each in node.get("properties", {}).items():
            if isinstance(each, dict) and "const" not in each and "x-kind" not in each:
                home = Home(pattern, component)
                if home not in self._homes.setdefault(key, []):
                    self._homes[key].append(home)
                self._walk(each, (*pattern, key), "", seen)
        for rule in node.get("allOf", ()):
            self._walk(rule["then"], pattern, _named_by(rule["if"]) or component, seen)
        if isinstance(rest := node.get("additionalProperties"), dict):
            self._walk(rest, (*pattern, ANY), "", seen)
        if "items" in node:
            self._walk(node["items"], (*pattern, ROW), "", seen)


def _named_by(test: Node) -> str:
    for tag, each in test.get("properties", {}).items():
        return f"{tag}: {each['const']}"
    return ""


def _steps(a: Pattern, b: Pattern) -> int:
    common = 0
    for x, y in zip(a, b, strict=False):
        if x != y:
            break
        common += 1
    return len(a) + len(b) - 2 * common


def listed(words: Iterable[str], limit: int = 12) -> str:
    """`a`, `b`, `c`, …"""
    quoted = [f"`{word}`" for word in words]
    return ", ".join(quoted[:limit] + (["…"] if len(quoted) > limit else []))
