"""Notes: what a report tells that no other file of a bundle does, since the resolved spec has lost its source."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import PurePath
from typing import Any

from netspec import lints
from netspec.errors import Diagnostic, Label, Source, Span
from netspec.origins import origins
from netspec.plan import Node, Plan
from netspec.render import render
from netspec.spec import Spec

ID = "notes"  # of the element that holds them in a page
_ELEMENT = re.compile(rf'<script type="application/json" id="{ID}">(.*?)</script>', re.DOTALL)
_COMMENT = re.compile(r"\s*,?\s*#\s*(?!netspec:)(\S.*)")  # behind a value, and no word to netspec


@dataclass(frozen=True, slots=True)
class Finding:
    """A diagnostic as a terminal shows it, with its colours."""

    code: str
    level: str
    text: str


@dataclass(frozen=True, slots=True)
class Notes:
    """Files by their bare names, so that nothing of a machine travels with a network.

    origins: where each choice of the resolved spec comes from, by its path. lines: of each node, `net.yaml:21`.
    meanings: the comments behind inputs and outputs. unproven: by target, the points at which parity did not run, or
    why it did not. remarks: how the checkpoint was read.
    """

    origins: Mapping[str, str]
    lines: Mapping[str, str]
    meanings: Mapping[str, str]
    findings: tuple[Finding, ...] = ()
    unproven: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()

    @classmethod
    def of(cls, plan: Plan) -> Notes:
        """What the source of a plan tells."""
        return cls(
            origins={path: source for path, _, source in origins(plan.spec, _bare)},
            lines={node.name: node.origin.source for node in plan},
            meanings=dict(_meanings(plan.spec)),
            findings=tuple(_finding(each) for each in lints.check(plan)),
        )

    @classmethod
    def read(cls, page: str) -> Notes:
        """Those of a report. ValueError, KeyError or TypeError where it holds none."""
        found = _ELEMENT.search(page)
        if found is None:
            raise ValueError("it holds no notes")
        data: dict[str, Any] = json.loads(found[1])
        findings = tuple(Finding(**each) for each in data.pop("findings"))
        unproven = {target: tuple(reasons) for target, reasons in data.pop("unproven").items()}
        return cls(findings=findings, unproven=unproven, remarks=tuple(data.pop("remarks")), **data)

    def data(self) -> dict[str, Any]:
        """Plain data, what a page holds."""
        return asdict(self)

    @property
    def sha256(self) -> str:
        """Identity of what was said in the source, by content."""
        return hashlib.sha256(json.dumps(self.data(), sort_keys=True).encode()).hexdigest()

    def placed(self, plan: Plan) -> Plan:
        """The plan of a resolved spec, its nodes at the lines that the author wrote."""
        return replace(plan, nodes=tuple(map(self._placed, plan.nodes)))

    def _placed(self, node: Node) -> Node:
        name, _, line = self.lines.get(node.name, "").rpartition(":")
        return replace(node, origin=replace(node.origin, file=name, line=int(line))) if name else node


def _bare(name: str) -> str:
    return PurePath(name).name


def _meanings(spec: Spec) -> Iterator[tuple[str, str]]:
    """The comment on the line where an input or output ends."""
    places = spec.document.places if spec.document else {}
    paths = [(name, ("inputs", name)) for name in spec.inputs]
    paths += [(name, ("outputs", name)) for name in spec.outputs]
    for name, path in paths:
        place = places.get(path) or places.get(("output",))
        if place is None or not place.value.source.text:
            continue
        span = place.value
        comment = _COMMENT.match(span.source.lines[span.end_line - 1], span.end_column - 1)
        if comment:
            yield name, comment[1].strip()


def _finding(diagnostic: Diagnostic) -> Finding:
    sources: dict[int, Source] = {}

    def bare(span: Span) -> Span:
        own = sources.setdefault(id(span.source), Source(_bare(span.source.name), span.source.text))
        return replace(span, source=own)

    span = bare(diagnostic.span) if diagnostic.span else None
    labels = tuple(Label(bare(label.span), label.text) for label in diagnostic.labels)
    text = render([replace(diagnostic, span=span, labels=labels)], color=True)
    return Finding(diagnostic.code, diagnostic.level, text.rstrip("\n").rpartition("\n\n")[0])
