"""validate(): a document against the published schema, and the names and sizes that a schema cannot relate.

Three steps: the sieve (verdict.py) lets a valid document through in a tenth of a millisecond; what it stops goes to
jsonschema, whose errors findings.py puts into the user's words; relations.py follows names from one part of the spec
to another. Every violation is reported at once; one cause that hits several rows is one error.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any

from netspec import schema
from netspec.document import Document
from netspec.errors import Diagnostic, raise_all
from netspec.validation import relations, verdict

if TYPE_CHECKING:
    from netspec.validation.findings import Findings

_INDEX = re.compile(r"\[\d+\]")
_LISTED = 8  # places that one error names


def validate(document: Document) -> None:
    """Check a composed document (everything that it extends, its variant and settings merged in).

    Raises SchemaError or UnknownName with every violation: NS101 … NS107, NS201, NS202, NS203, NS207, NS208, NS215;
    NS108 alone for the settings of another program.
    """
    raise_all(_foreign(document))
    found = list(violations(document))
    raise_all(_one_per_cause(found))


def _foreign(document: Document) -> Iterator[Diagnostic]:
    """One finding for a file that was never meant as a spec, instead of one for each of its keys."""
    model = document.data.get("model")
    key = "_class_name" if "_class_name" in document.data else "model"
    if "netspec" in document.data or not (key in document.data and (key != "model" or "target" in _keys(model))):
        return
    name = document.source.name
    yield Diagnostic(
        "NS108",
        "these are another program's settings of a network, not a spec",
        document.places[(key,)].key,
        "not a key of a spec",
        help=(f"`netspec import {name} -o spec.yaml` writes the spec that they mean",),
        path=key,
    )


def _keys(value: object) -> Collection[str]:
    return value if isinstance(value, Mapping) else ()


def violations(document: Document) -> Iterator[Diagnostic]:
    """Every violation, in no order, repeated where one cause hits several places."""
    published = schema.current()
    data = {key: value for key, value in document.data.items() if key != "extends" or not isinstance(value, str)}
    reported: list[Diagnostic] = []
    if not _sieve(id(published))(data):
        reported = list(_explainer(id(published)).of(document, data))
        yield from reported
    yield from relations.check(document, frozenset(each.path for each in reported))


def _one_per_cause(found: Iterable[Diagnostic]) -> list[Diagnostic]:
    """One diagnostic for equal ones on different rows, naming the other rows."""
    groups: dict[Any, list[Diagnostic]] = {}
    for each in found:
        row = _INDEX.sub("[]", each.path)
        groups.setdefault((each.code, each.message, _INDEX.sub("[]", each.label), row), []).append(each)
    return [_merged(group) for group in groups.values()]


def _merged(group: list[Diagnostic]) -> Diagnostic:
    first = min(group, key=lambda each: each.span.order if each.span else ("", 0, 0))
    others = dict.fromkeys(each.path for each in group if each.span != first.span)
    if not others:
        return first
    more = [", …"] if len(others) > _LISTED else []
    return replace(first, notes=(*first.notes, "same at " + ", ".join([*others][:_LISTED]) + "".join(more)))


# Both are keyed by identity: schema.current() is cached, and hashing a schema would cost more than using it.
@cache
def _sieve(_: int) -> verdict.Verdict:
    return verdict.compiled(schema.current())


@cache
def _explainer(_: int) -> Findings:
    from netspec.validation.findings import Findings  # imports jsonschema, which a valid spec never pays for

    published: Mapping[str, Any] = schema.current()
    return Findings(published)
