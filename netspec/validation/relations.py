"""What a schema cannot say: names that refer to other parts of the spec, keys that exclude each other, ranges.

Runs beside the schema's findings, so it takes nothing for granted and is silent about what it cannot read; `reported`
are the paths that already have an error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Any

from netspec import conventions, registry
from netspec.document import Document
from netspec.errors import Diagnostic, Label, Span, SpecPath, path_text
from netspec.fields import Optional, Slot
from netspec.validation import synonyms
from netspec.validation.locating import key_span, owner_span, value_span
from netspec.validation.reading import View, component_name, embed_values, family_values, shared_default
from netspec.validation.suggestions import listed, nearest

_MOST = 100  # findings
_LISTED = 8  # places that one error names

# The word that stands beside the inputs' names: the conditioning vectors as tokens.
_ALSO_INPUTS: Mapping[SpecPath, tuple[str, ...]] = {("dit", "context", "input"): ("conditioning",)}


def check(document: Document, reported: frozenset[str] = frozenset()) -> Iterator[Diagnostic]:
    """Every relation that does not hold."""
    view = View(document)
    found = chain.from_iterable(rule(view) for rule in _RULES)
    yield from islice((each for each in found if each.path not in reported or not each.path), _MOST)


def _one_family(view: View) -> Iterator[Diagnostic]:
    families, document = view.families, view.document
    if len(families) > 1:
        first, *others = sorted(families, key=lambda name: key_span(document, (name,)).order)
        for name in others:
            yield Diagnostic(
                "NS106",
                f"a spec describes one network: `{first}` or `{name}`",
                key_span(document, (name,)),
                "a second family",
                labels=(Label(key_span(document, (first,)), "the first"),),
                path=name,
            )
    known = registry.named("family")
    if not families and not any(nearest(key, known) for key in document.data):
        yield Diagnostic(
            "NS104",
            "the spec has no network",
            owner_span(document, ()),
            f"one of {listed(sorted(known))} is missing",
            help=tuple(f"for example `{name}: {known[name].example}`" for name in sorted(known)),
        )


def _one_output(view: View) -> Iterator[Diagnostic]:
    document = view.document
    given = [key for key in ("output", "outputs") if key in document.data]
    if len(given) == 2:
        yield Diagnostic(
            "NS106",
            "`output` and `outputs` exclude each other",
            key_span(document, ("outputs",)),
            "keep one of them",
            labels=(Label(key_span(document, ("output",)), "also given"),),
            path="outputs",
        )
    if not given and not any(nearest(key, ("output", "outputs")) for key in document.data):
        yield Diagnostic(
            "NS104",
            "missing key `output`",
            owner_span(document, ()),
            "the spec needs `output`: the sizes of what the network returns",
            help=("for example `output: [batch, 4, height, width]`",),
        )


def _known_sizes(view: View) -> Iterator[Diagnostic]:
    dims = view.mapping("dims")
    unknown: dict[str, list[SpecPath]] = {}
    for path, word in view.words():
        if word not in dims:
            unknown.setdefault(word, []).append(path)
    for word, paths in unknown.items():
        yield _unknown_size(view, paths[0], word, dims, value_span(view.document, paths[0]), paths[1:])
    for name in view.mapping("targets"):
        for word in view.mapping("targets", name, "dims"):
            if word not in dims:
                at: SpecPath = ("targets", name, "dims", word)
                yield _unknown_size(view, at, word, dims, key_span(view.document, at))


def _unknown_size(
    view: View, path: SpecPath, word: str, dims: Mapping[str, Any], span: Span, also: Sequence[SpecPath] = ()
) -> Diagnostic:
    meant = nearest(word, dims)
    help_text = f"sizes of `dims`: {listed(dims)}" if dims else "`dims` gives a word its range"
    return Diagnostic(
        "NS202",
        f"unknown size `{word}`",
        span,
        f"did you mean `{meant}`?" if meant else "not a word of `dims`",
        notes=(f"same at {', '.join(path_text(each) for each in also[:_LISTED])}",) if also else (),
        help=() if meant else (help_text, f"add `{word}: {{min: 1, opt: 1, max: 1}}` to `dims`, or write a number"),
        path=path_text(path),
    )


def _used_sizes(view: View) -> Iterator[Diagnostic]:
    # Layers may replace the shapes that used a word and cannot take it out of `dims`: only a lone file is held to this.
    document = view.document
    if len({id(place.value.source) for place in document.places.values()}) > 1:
        return
    dims, used = view.mapping("dims"), {word for _, word in view.words()}
    meant = {nearest(word, dims) for word in islice(sorted(used.difference(dims)), _MOST)}
    for word in dims:
        if word not in used and word not in meant:
            yield Diagnostic(
                "NS207",
                f"no shape uses the size `{word}`",
                key_span(document, ("dims", word)),
                "used nowhere",
                help=(f"write `{word}` in `inputs` and `output`, or take it out",),
                path=path_text(("dims", word)),
            )


def _ordered_ranges(view: View) -> Iterator[Diagnostic]:
    places: list[SpecPath] = [("dims", word) for word in view.mapping("dims")]
    for name in view.mapping("targets"):
        places += [("targets", name, "dims", word) for word in view.mapping("targets", name, "dims")]
    for path in places:
        given = view.mapping(*(str(part) for part in path))
        if not all(type(given.get(key)) is int for key in ("min", "opt", "max")):
            continue
        for low, high in (("min", "opt"), ("opt", "max")):
            if given[low] > given[high]:
                yield Diagnostic(
                    "NS103",
                    f"`{high}` of `{path[-1]}` is {given[high]:,}, less than `{low}`",
                    value_span(view.document, (*path, high)),
                    f"must be at least {given[low]:,}",
                    labels=(Label(value_span(view.document, (*path, low)), f"`{low}`"),),
                    path=path_text((*path, high)),
                )


def _known_inputs(view: View) -> Iterator[Diagnostic]:
    values = [*embed_values(view), *family_values(view)]
    others = {path[1] for field, _, path in values if path[0] == "conditioning" and field.param.refers == "input"}
    for name in view.mapping("conditioning"):
        if name not in view.mapping("inputs") and name not in others:
            yield _unknown_input(view, ("conditioning", name), name, key_span(view.document, ("conditioning", name)))
    for field, value, path in values:
        if field.param.refers != "input" or (isinstance(field.type, Optional) and value == "none"):
            continue
        named = [(path, value)] if not isinstance(value, list) else [((*path, i), each) for i, each in enumerate(value)]
        for at, name in named:
            if isinstance(name, str) and name not in (*view.mapping("inputs"), *_ALSO_INPUTS.get(at, ())):
                yield _unknown_input(view, at, name, value_span(view.document, at))


def _unknown_input(view: View, path: SpecPath, name: str, span: Span) -> Diagnostic:
    inputs = view.mapping("inputs")
    meant = nearest(name, (*inputs, *_ALSO_INPUTS.get(path, ())))
    help_text = f"inputs of this spec: {listed(inputs)}" if inputs else "`inputs` names what the network takes"
    return Diagnostic(
        "NS203",
        f"unknown input `{name}`",
        span,
        f"did you mean `{meant}`?" if meant else "not an input of this spec",
        help=() if meant else (help_text,),
        path=path_text(path),
    )


def _known_outputs(view: View) -> Iterator[Diagnostic]:
    outputs = [*view.mapping("outputs"), *(["output"] if "output" in view.document.data else [])]
    named: list[tuple[SpecPath, Any]] = [(path, v) for f, v, path in family_values(view) if f.param.refers == "output"]
    for target in view.mapping("targets"):
        given, at = view.mapping("targets", target).get("outputs"), ("targets", target, "outputs")
        named += [((*at, index), name) for index, name in enumerate(given if isinstance(given, list) else [])]
    for path, name in named:
        if isinstance(name, str) and name not in outputs:
            yield _unknown_output(path, name, outputs, value_span(view.document, path))
    for name in view.mapping("expect", "output"):
        if name not in outputs:
            path = ("expect", "output", name)
            yield _unknown_output(path, name, outputs, key_span(view.document, path))


def _unknown_output(path: SpecPath, name: str, outputs: Sequence[str], span: Span) -> Diagnostic:
    meant = nearest(name, outputs)
    return Diagnostic(
        "NS216",
        f"unknown output `{name}`",
        span,
        f"did you mean `{meant}`?" if meant else "not an output of this spec",
        help=() if meant else (f"outputs of this spec: {listed(outputs)}",),
        path=path_text(path),
    )


def _known_convention(view: View) -> Iterator[Diagnostic]:
    name, known = view.document.data.get("convention"), conventions.names()
    if isinstance(name, str) and name not in known:
        meant = nearest(name, known)
        yield Diagnostic(
            "NS208",
            f"unknown convention `{name}`",
            value_span(view.document, ("convention",)),
            f"did you mean `{meant}`?" if meant else "",
            help=() if meant else (f"conventions: {listed(known)}",),
            path="convention",
        )


def _known_exporters(view: View) -> Iterator[Diagnostic]:
    wanted = {name: view.mapping("targets", name).get("exporter") for name in view.mapping("targets")}
    if not any(isinstance(exporter, str) for exporter in wanted.values()):
        return
    from netspec import target  # looks at every installed package: only where a spec names an exporter

    known = target.names()
    for name, exporter in wanted.items():
        if isinstance(exporter, str) and exporter not in known:
            at: SpecPath = ("targets", name, "exporter")
            meant = nearest(exporter, known)
            yield Diagnostic(
                "NS215",
                f"no exporter is called `{exporter}`",
                value_span(view.document, at),
                f"did you mean `{meant}`?" if meant else "not installed",
                help=(f"installed exporters: {listed(known) or 'none'}",),
                path=path_text(at),
            )


def _foreign_options(view: View) -> Iterator[Diagnostic]:
    """A target's other keys are for its exporter to read, except what other tools call the keys of every target."""
    for target in view.mapping("targets"):
        for key in view.mapping("targets", target):
            if foreign := synonyms.foreign_to("targets", key):
                at: SpecPath = ("targets", target, key)
                yield Diagnostic(
                    "NS101",
                    f"unknown key `{key}`",
                    key_span(view.document, at),
                    "not a key of a target",
                    help=(foreign,),
                    path=path_text(at),
                )


def _known_transforms(view: View) -> Iterator[Diagnostic]:
    """NS240 for transforms that are not installed, NS245 for those named twice."""
    for target in view.mapping("targets"):
        items = view.mapping("targets", target).get("transforms")
        seen: set[str] = set()
        for index, item in enumerate(items if isinstance(items, list) else ()):
            for name in item if isinstance(item, dict) else [item]:
                if not isinstance(name, str):
                    continue
                from netspec import transform  # looks at every installed package: only where a spec names one

                at: SpecPath = ("targets", target, "transforms", index)
                if name not in transform.names():
                    yield transform.unknown(name, value_span(view.document, at), path_text(at))
                if name in seen:
                    yield Diagnostic(
                        "NS245",
                        f"target `{target}` names the transform `{name}` twice",
                        value_span(view.document, at),
                        "once is enough",
                        path=path_text(at),
                    )
                seen.add(name)


def _shared_settings(view: View) -> Iterator[Diagnostic]:
    """A row's settings without a name belong to the component that the family's shared key names."""
    for field, value, path in family_values(view):
        kind = field.type.item if isinstance(field.type, Optional) else field.type
        if not (field.param.inherits and isinstance(kind, Slot) and isinstance(value, dict)):
            continue
        base, family = kind.kind, str(path[0])
        name = component_name(base, view.mapping(family).get(field.param.inherits), shared_default(family, field))
        if base.tag in value or name not in registry.named(base.kind):
            continue
        known = registry.declared(registry.named(base.kind)[name])
        for key in value:
            if key not in known:
                yield Diagnostic(
                    "NS101",
                    f"unknown key `{key}`",
                    key_span(view.document, (*path, key)),
                    f"not a key of {base.kind} `{name}`",
                    help=(f"keys of `{name}`: {listed(known)}",),
                    path=path_text((*path, key)),
                )


_RULES: tuple[Callable[[View], Iterator[Diagnostic]], ...] = (
    _one_family,
    _one_output,
    _known_sizes,
    _used_sizes,
    _ordered_ranges,
    _known_inputs,
    _known_outputs,
    _known_convention,
    _known_exporters,
    _foreign_options,
    _known_transforms,
    _shared_settings,
)
