"""jsonschema's errors → diagnostics in the user's words. Imported only when something is wrong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, Final

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from jsonschema.validators import extend

from netspec.document import Document
from netspec.errors import Diagnostic, SpecPath, path_text
from netspec.schema_root import LONGEST_LIST
from netspec.validation import synonyms, verdict
from netspec.validation.locating import key_span, owner_span
from netspec.validation.suggestions import Homes, listed, nearest
from netspec.validation.wording import Node, Violation, bad_name, bad_value, too_many

# The types are YAML's, as in verdict.py.
_checker = Draft202012Validator.TYPE_CHECKER.redefine_many(
    {name: lambda _, value, test=test: test(value) for name, test in verdict.TYPES.items()}
)
Validator: Final = extend(Draft202012Validator, type_checker=_checker)  # type: ignore[no-untyped-call]

MOST_FINDINGS: Final = 100
_LONGEST_MAPPING = 256


class Findings:
    """One schema's explanations."""

    def __init__(self, published: Node) -> None:
        self._schema = published
        self._validator = Validator(published)
        self._homes = Homes(published)

    def of(self, document: Document, data: Mapping[str, Any]) -> Iterator[Diagnostic]:
        """Every violation of the schema by `data`, which is `document`'s data as it is to be judged."""
        if oversized := list(_oversized(data, ())):  # jsonschema would spend minutes on what is inside
            yield from (too_many(document, path, count, most) for path, count, most in oversized)
            return
        violations = [self._read(error) for error in islice(self._validator.iter_errors(data), MOST_FINDINGS)]
        settled = {each for _, v in violations for each in self._settled(v)}
        for error, v in violations:
            if "propertyNames" in error.absolute_schema_path:
                yield bad_name(document, v)
            elif v.keyword == "additionalProperties":
                yield from self._unknown_keys(document, v)
            elif v.keyword == "required":
                yield from self._missing_keys(document, v, error.message, settled)
            else:
                yield bad_value(document, v)

    def _read(self, error: ValidationError) -> tuple[ValidationError, Violation]:
        path: SpecPath = tuple(error.absolute_path)
        rules: Any = error.schema  # a mapping: the schema has no `false`
        return error, Violation(
            str(error.validator), error.validator_value, error.instance, path, rules, self._about(error)
        )

    def _settled(self, v: Violation) -> Iterator[SpecPath]:
        """What an unknown key explains already: the key that it misspells is not missing as well, and nothing is
        missing from a mapping that was meant for another component."""
        if v.keyword == "additionalProperties":
            for key in _extra(v):
                if meant := nearest(key, v.rules["properties"]):
                    yield (*v.path, meant)
                if self._homes.of_another_component(key, v.path):
                    yield v.path

    def _unknown_keys(self, document: Document, v: Violation) -> Iterator[Diagnostic]:
        for key in _extra(v):
            label, help_text = self._explain(key, v, document)
            place = (*v.path, key)
            yield Diagnostic(
                "NS101",
                f"unknown key `{key}`",
                key_span(document, place),
                label,
                help=(help_text,) if help_text else (),
                path=path_text(place),
            )

    def _explain(self, key: str, v: Violation, document: Document) -> tuple[str, str]:
        """(label, help) for a key that the mapping at `path` does not have."""
        path = v.path
        label = f"not a key of `{path_text(path)}`" if path else "not a key of a spec"
        if foreign := synonyms.lookup(key, path):
            return label, foreign
        known = list(v.rules["properties"])
        layer = _layer(document, (*path, key))
        # A key that stands beside its own misspelling was not meant, unless another layer wrote it.
        if meant := nearest(key, [k for k in known if k not in v.value or _layer(document, (*path, k)) != layer]):
            span = key_span(document, (*path, key))
            dotted = span.end_column - span.column > len(key) + len('""')  # a whole path, in a variant or in `--set`
            return f"did you mean `{path_text((*path, meant)) if dotted else meant}`?", ""
        families = {name for name in self._schema["properties"] if f"family.{name}" in self._schema["$defs"]}
        home = self._homes.belongs(key, path, frozenset(families.difference(document.data)))
        return label, home or f"keys here: {listed(known)}"

    def _missing_keys(
        self, document: Document, v: Violation, message: str, settled: set[SpecPath]
    ) -> Iterator[Diagnostic]:
        # jsonschema has one error for each missing key and names it in its message alone.
        path = v.path
        key = next(key for key in v.argument if message.startswith(repr(key)))
        if path in settled or (*path, key) in settled:
            return
        where = f"`{path_text(path)}`" if path else "the spec"
        holder = v.rules
        while "$ref" in holder:
            holder = self._target(holder["$ref"])
        if len(path) == 1:
            holder = self._schema["$defs"].get(f"family.{path[0]}", holder)
        doc = holder.get("properties", {}).get(key, {}).get("description", "")
        yield Diagnostic(
            "NS104",
            f"missing key `{key}`",
            owner_span(document, path),
            f"{where} needs `{key}`" + (f": {doc}" if doc else ""),
            help=_HELP_MISSING.get((*path, key), ()),
            path=path_text((*path, key)),
        )

    def _about(self, error: ValidationError) -> str:
        """What the key is for: the description where the value's own key stands, not that of its type."""
        node: Any = self._schema
        doc = ""
        parts = list(error.absolute_schema_path)
        for before, part in zip(["", *parts], parts, strict=False):
            while isinstance(node, dict) and part not in node:  # jsonschema leaves `$ref` out of its paths
                node = self._target(node["$ref"])
            node = node[part]
            if before == "properties" and isinstance(node, dict):
                doc = str(node.get("description", ""))
            elif before in ("additionalProperties", "items") or part in ("additionalProperties", "items"):
                doc = ""
        return doc

    def _target(self, reference: str) -> Node:
        target: Node = self._schema["$defs"][reference.removeprefix("#/$defs/")]
        return target


def _oversized(value: Any, path: SpecPath) -> Iterator[tuple[SpecPath, int, int]]:
    """(path, entries, the most there may be) of every absurd list or mapping; variants are not looked into."""
    if isinstance(value, dict | list) and path != ("variants",):
        most = LONGEST_LIST if isinstance(value, list) else _LONGEST_MAPPING
        if len(value) > most:
            yield path, len(value), most
            return
        for key, each in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _oversized(each, (*path, key))


def _layer(document: Document, path: SpecPath) -> object:
    """What wrote a value: a file, a variant, the `--set` arguments."""
    place = document.places.get(path)
    return (id(place.value.source), place.origin) if place else None


def _extra(v: Violation) -> list[str]:
    return [key for key in v.value if key not in v.rules["properties"]]


_HELP_MISSING: dict[SpecPath, tuple[str, ...]] = {
    ("netspec",): ("begin the file with `netspec: 1`",),
    ("name",): ("for example `name: my-unet`",),
    ("inputs",): ("for example `inputs: {x: [batch, 4, height, width], t: [batch]}`",),
}
