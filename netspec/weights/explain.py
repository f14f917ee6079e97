"""Which choice of the spec would make the weights fit: found by trying, not by knowing any architecture.

Every number, switch and component of the spec is a knob. Sizes that are expected and found suggest other positions for
it; the network is planned anew for each of them (no weights, no modules but new shapes), and the one that leaves the
least misfits is reported. Then the search goes on from there, since a file may differ in more than one choice.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from netspec import layers, planner, validation
from netspec import spec as specs
from netspec.errors import NetspecError, SpecPath, path_text
from netspec.fields import FieldType, Optional, Slot, Words
from netspec.plan import Plan
from netspec.registry import Component, Record, declared, dump, named
from netspec.spec import Spec
from netspec.weights.fit import Fit, compare
from netspec.weights.recognise import Reading

MAX_CHOICES = 3  # choices of a spec that one report explains
MAX_TRIALS = 80  # networks planned for each of them, with other numbers and with other words
_PAIRS = 4  # of an expected and a found size, the most frequent ones
_NUMBER = re.compile(r"^.*?\d+(?=\.)")  # `blocks.28` of `blocks.28.attn.qkv.weight`
_NEAR = 2  # a table has up to so many rows more than its number says: the null class


@dataclass(frozen=True)
class Knob:
    """One choice of a spec: where it is, what it is, and what kinds of value it takes."""

    path: SpecPath
    value: Any
    type: FieldType | None = None


def explanations(reading: Reading, plan: Plan) -> Iterator[str]:
    """`dit.mlp_ratio: 4 instead of 3 fits 56 more tensors`, the choice that explains the most first."""
    fit, settings = reading.fit, list[str]()
    if not fit.matched:
        return
    for _ in range(MAX_CHOICES):
        if fit.fits:
            return
        best: tuple[int, Knob, Any, Fit] | None = None
        for knob, value in _trials(plan.spec, fit):
            tried = _tried(reading, plan, (*settings, layers.as_setting(path_text(knob.path), value)))
            if tried is not None and tried.problems < (best[3] if best else fit).problems:
                best = (fit.problems - tried.problems, knob, value, tried)
                if tried.fits:
                    break
        if best is None or 20 * best[0] < fit.problems:
            return
        gain, knob, value, fit = best
        settings.append(layers.as_setting(path_text(knob.path), value))
        left = "everything fits" if fit.fits else f"{gain:,} fewer tensors are wrong"
        yield f"with `{path_text(knob.path)}: {_text(value)}` instead of {_text(knob.value)} {left}"


def _tried(reading: Reading, plan: Plan, settings: Sequence[str]) -> Fit | None:
    """How the file fits the network with other choices; None where they make no network, or none of this layout."""
    if plan.spec.document is None:
        return None
    try:
        composed = layers.compose(plan.spec.document, settings=settings)
        validation.validate(composed)
        other = planner.lower(specs.resolve(composed)).only(tuple(plan.outputs))
        if (other.cost.params, other.cost.frozen) == (plan.cost.params, plan.cost.frozen):
            return None  # a choice that no tensor shows
        return compare(reading.source.infos, reading.layout.entries(other))
    except NetspecError:
        return None


def _trials(spec: Spec, fit: Fit) -> Iterator[tuple[Knob, Any]]:
    """(knob, other value), those that the sizes speak of first, and not more than anyone waits for."""
    sizes: Counter[tuple[int, int]] = Counter()
    for each in fit.shapes:
        if len(each.found) == len(each.expected):
            sizes.update({pair for pair in zip(each.expected, each.found, strict=True) if pair[0] != pair[1]})
    pairs = [pair for pair, _ in sizes.most_common(_PAIRS)]
    names = bool(fit.missing or fit.unexpected)
    counts = _counts(fit) if names else ()
    knobs = sorted(_knobs(spec), key=lambda knob: len(knob.path))
    yield from islice(
        ((knob, value) for knob in knobs for value in dict.fromkeys(_numbers(knob.value, pairs, counts))), MAX_TRIALS
    )
    if names:
        yield from islice(((knob, value) for knob in knobs for value in _words(knob)), MAX_TRIALS)


def _numbers(value: object, pairs: Sequence[tuple[int, int]], counts: Sequence[int]) -> Iterator[int | float]:
    match value:
        case bool():
            return
        case float():
            yield from (value * found / expected for expected, found in pairs if expected)
        case int() if value > 0:
            for expected, found in pairs:
                if expected == value:
                    yield found
                elif 0 < expected - value <= _NEAR and found > expected - value:
                    yield found - (expected - value)
                elif expected % value == 0 and found % (expected // value) == 0:
                    yield found // (expected // value)
            yield from (value + count for count in counts if value + count > 0)


def _counts(fit: Fit) -> Sequence[int]:
    """How many repetitions there may be more or fewer: as many as blocks are missing or unexpected, or one."""
    fewer = {-len({each.entry.node.name for each in fit.missing}), -_numbered(each.name for each in fit.missing), -1}
    more = {_numbered(fit.unexpected), 1}
    return sorted((fewer if fit.missing else set()) | (more if fit.unexpected else set()), key=abs, reverse=True)


def _numbered(names: Iterable[str]) -> int:
    return len({found[0] for name in names if (found := _NUMBER.search(name))})


def _words(knob: Knob) -> Iterator[Any]:
    """The other components or words that could stand there, and the other position of a switch."""
    kind = knob.type.item if isinstance(knob.type, Optional) else knob.type
    if isinstance(knob.value, bool):
        yield not knob.value
    elif isinstance(kind, Slot):
        here = knob.value.name if isinstance(knob.value, Component) else "none"
        yield from (name for name in named(kind.kind.kind) if name != here)
    elif isinstance(kind, Words):
        yield from (word for word in kind.words if word != knob.value)


def _knobs(spec: Spec) -> Iterator[Knob]:
    yield from _inside(spec.family, (spec.family.name,))
    for name, rule in spec.conditioning.items():
        yield from _inside(rule, ("conditioning", name))
    for key, values in (("inputs", spec.inputs), ("outputs", spec.outputs)):
        yield from _sizes(spec, key, {name: value.shape for name, value in values.items()})


def _sizes(spec: Spec, key: str, shapes: Mapping[str, Sequence[int | str]]) -> Iterator[Knob]:
    """The numbers in the shapes of the network's ends, where the spec wrote them."""
    content = spec.document.data if spec.document else {}
    for name, shape in shapes.items():
        start: SpecPath = (key, name) if key in content else (key.removesuffix("s"),)
        long = isinstance(content.get(key, content).get(start[-1]), dict)
        for index, size in enumerate(shape):
            if isinstance(size, int):
                yield Knob((*start, *(("shape",) if long else ()), index), size)


def _inside(record: Record, path: SpecPath) -> Iterator[Knob]:
    for field in declared(type(record)).values():
        value = getattr(record, field.name)
        where = (*path, field.name)
        yield Knob(where, value, field.type)
        for index, each in enumerate(value if isinstance(value, tuple) else ()):
            yield from _inside(each, (*where, index)) if isinstance(each, Record) else [Knob((*where, index), each)]
        if isinstance(value, Record):
            yield from _inside(value, where)


def _text(value: object) -> str:
    if isinstance(value, Component):
        return value.name
    plain = dump(value)
    return str(plain).lower() if isinstance(plain, bool) else str(plain)
