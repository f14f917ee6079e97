"""netspec targets: every exporter that is installed, and whether its files can be made and run here."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from inspect import Parameter, getdoc, signature
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from netspec.cli.list import wrapped

if TYPE_CHECKING:
    from netspec.target import Target


def command(
    format: Annotated[Literal["text", "json"], typer.Option("--format", help="How to print it.")] = "text",
) -> None:
    """List the exporters that a spec's `targets` can name: precisions, options, and whether each works here."""
    from netspec import target

    found = [described(name) for name in target.names()]
    if format == "json":
        typer.echo(json.dumps(found, indent=2))
    else:
        typer.echo("\n\n".join("\n".join(_lines(entry)) for entry in found))


def described(name: str) -> dict[str, Any]:
    """What one exporter says of itself. `cannot_make` and `cannot_run` are "" where this machine can."""
    from netspec import target

    try:
        cls = target.find(name)
        why = cls.missing()
    except ImportError as error:  # a plugin's own dependency
        return {"name": name, "summary": "", "cannot_make": f"cannot be loaded: {error}", "cannot_run": "likewise"}
    doc = getdoc(cls) or ""
    return {
        "name": name,
        "summary": re.split(r"\n\s*\n", doc)[0].replace("\n", " "),
        "writes": cls.file,
        "precisions": list(cls.precisions),
        "options": _options(cls, doc),
        "extra": cls.extra,
        "needs_weights": cls.needs_weights,
        "same_bytes": not cls.stamped,
        "cannot_make": why,
        "cannot_run": why or cls().unrunnable(),
    }


def _options(cls: type[Target], doc: str) -> dict[str, dict[str, Any]]:
    """The constructor's arguments: default, and what the class's docstring says of each."""
    told: dict[str, str] = {}
    for names, words in re.findall(r"^(\w+(?:, \w+)*): ((?:.|\n(?!\w+(?:, \w+)*: |\n))*)", doc, re.MULTILINE):
        told |= dict.fromkeys(names.split(", "), words)
    return {
        option: {
            "default": None if parameter.default is Parameter.empty else _plain(parameter.default),
            "doc": " ".join(told.get(option, "").split()),
        }
        for option, parameter in signature(cls).parameters.items()
    }


def _plain(value: object) -> object:
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def _lines(entry: dict[str, Any]) -> Iterator[str]:
    yield entry["name"]
    if entry["summary"]:
        yield wrapped(entry["summary"].split(), "    ", "    ")
        yield f"    writes {entry['writes']}, in {', '.join(entry['precisions'])}" + (
            "; needs weights" if entry["needs_weights"] else ""
        )
    for option, told in entry.get("options", {}).items():
        default = "" if told["default"] is None else f" (default {json.dumps(told['default']).strip(chr(34))})"
        yield wrapped(f"{option}: {told['doc']}{default}".split(), "    ", "        ")
    made, run = entry["cannot_make"], entry["cannot_run"]
    yield f"    can be made here: {f'no, {made}' if made else 'yes'}"
    if not made:
        yield f"    can be run here: {f'no, {run}' if run else 'yes'}"
