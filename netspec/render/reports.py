"""Diagnostics for machines: one line each, JSON, GitHub's workflow commands, SARIF 2.1.0."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from netspec.errors import Diagnostic, Label, Source, Span
from netspec.render.snippet import harmless

_SARIF_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
RANGES = {  # what the codes of a range are about
    "NS0": "The file is not a netspec document",
    "NS1": "The document does not follow the schema",
    "NS2": "A name refers to nothing",
    "NS3": "The network's sizes do not work out",
    "NS4": "The network is not what `expect:` says",
    "NS5": "The target cannot express the network",
    "NS6": "The weights do not fit",
    "NS7": "Two backends disagree",
    "NS8": "The spec is valid but looks unintended",
    "NS9": "netspec or a plugin is broken",
}


def concise(diagnostics: Sequence[Diagnostic]) -> str:
    """`file:line:col: error[NS101]: message (label; help)`, a line each."""
    return "".join(f"{_place(found)}{found.level}[{found.code}]: {_one_line(found)}\n" for found in diagnostics)


def as_json(diagnostics: Sequence[Diagnostic]) -> str:
    """`{"diagnostics": [...]}`; places are null where there is none. ASCII, so that any pipe can carry it."""
    found = [
        {
            "code": diagnostic.code,
            "level": diagnostic.level,
            "message": diagnostic.message,
            "path": diagnostic.path,
            **_json_span(diagnostic.span),
            "label": diagnostic.label,
            "labels": [{**_json_span(label.span), "text": label.text} for label in diagnostic.labels],
            "notes": list(diagnostic.notes),
            "help": list(diagnostic.help),
        }
        for diagnostic in diagnostics
    ]
    return json.dumps({"diagnostics": found}, indent=2) + "\n"


def github(diagnostics: Sequence[Diagnostic]) -> str:
    """Workflow commands that GitHub shows beside the line in a pull request."""
    return "".join(_github_line(diagnostic) for diagnostic in diagnostics)


def sarif(diagnostics: Sequence[Diagnostic]) -> str:
    """A SARIF 2.1.0 log with one run, for code scanning and editors."""
    codes = sorted({diagnostic.code for diagnostic in diagnostics})
    run = {
        "tool": {"driver": {"name": "netspec", "rules": [_sarif_rule(code) for code in codes]}},
        "columnKind": "unicodeCodePoints",
        "results": [_sarif_result(diagnostic, codes.index(diagnostic.code)) for diagnostic in diagnostics],
    }
    return json.dumps({"$schema": _SARIF_SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2) + "\n"


def _place(diagnostic: Diagnostic) -> str:
    span = diagnostic.span
    if span is None:
        return ""
    name = harmless(span.source.name)
    return f"{name}:{span.line}:{span.column}: " if span.source.text else f"{name}: "


def _one_line(diagnostic: Diagnostic) -> str:
    extra = "; ".join(text for text in (diagnostic.label, *diagnostic.help) if text)
    return harmless(" ".join((diagnostic.message + (f" ({extra})" if extra else "")).splitlines()))


def _json_span(span: Span | None) -> dict[str, str | int | None]:
    if span is None:
        return dict.fromkeys(("file", "line", "column", "end_line", "end_column"))
    return {
        "file": span.source.name,
        "line": span.line,
        "column": span.column,
        "end_line": span.end_line,
        "end_column": span.end_column,
    }


def _github_line(diagnostic: Diagnostic) -> str:
    properties: dict[str, str | int] = {}
    span = diagnostic.span
    if span is not None and _is_file(span.source):
        properties = {"file": span.source.name, "line": span.line, "endLine": span.end_line}
        if span.line == span.end_line:  # GitHub ignores columns of a span of several lines, with a complaint
            properties |= {"col": span.column, "endColumn": span.end_column}
    properties["title"] = diagnostic.code
    order = ("file", "line", "col", "endLine", "endColumn", "title")
    listed = ",".join(f"{key}={_github_property(str(properties[key]))}" for key in order if key in properties)
    return f"::{diagnostic.level} {listed}::{_github_text(_full_text(diagnostic))}\n"


def _github_text(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _github_property(text: str) -> str:
    return _github_text(text).replace(":", "%3A").replace(",", "%2C")


def _full_text(diagnostic: Diagnostic) -> str:
    """Message, label, notes and help, a line each, for readers that do not show the source."""
    parts = [diagnostic.message, diagnostic.label]
    parts += [f"note: {note}" for note in diagnostic.notes] + [f"help: {text}" for text in diagnostic.help]
    return "\n".join(harmless(line) for part in parts if part for line in part.splitlines())


def _sarif_rule(code: str) -> dict[str, Any]:
    return {
        "id": code,
        "shortDescription": {"text": RANGES.get(code[:3], "A finding of netspec")},
        "help": {"text": f"`netspec explain {code}` tells what the rule asks for and why."},
    }


def _sarif_result(diagnostic: Diagnostic, rule: int) -> dict[str, Any]:
    result: dict[str, Any] = {
        "ruleId": diagnostic.code,
        "ruleIndex": rule,
        "level": diagnostic.level,
        "message": {"text": _full_text(diagnostic)},
    }
    if diagnostic.span is not None:
        place = _sarif_place(diagnostic.span)
        if diagnostic.path:
            place["logicalLocations"] = [{"fullyQualifiedName": diagnostic.path}]
        result["locations"] = [place]
    if diagnostic.labels:
        result["relatedLocations"] = [_sarif_related(number, label) for number, label in enumerate(diagnostic.labels)]
    return result


def _sarif_related(number: int, label: Label) -> dict[str, Any]:
    return {"id": number, **_sarif_place(label.span), "message": {"text": harmless(label.text)}}


def _sarif_place(span: Span) -> dict[str, Any]:
    place: dict[str, Any] = {"artifactLocation": {"uri": _uri(span.source.name)}}
    if span.source.text:
        place["region"] = {
            "startLine": span.line,
            "startColumn": span.column,
            "endLine": span.end_line,
            "endColumn": span.end_column,
        }
    return {"physicalLocation": place}


def _uri(name: str) -> str:
    path = quote(name.replace("\\", "/"), errors="surrogatepass")
    return f"file://{path}" if path.startswith("/") else path


def _is_file(source: Source) -> bool:
    """`--set` arguments and strings are no files that a pull request could show."""
    return not source.name.startswith(("--", "<"))
