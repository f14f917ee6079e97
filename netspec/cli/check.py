"""netspec check: is the spec sound?"""

from __future__ import annotations

import os
import sys
from typing import Annotated, Literal

import typer

from netspec.cli import completion
from netspec.cli.options import Settings, Variant


def command(
    specs: Annotated[list[str], typer.Argument(metavar="SPEC...", help="Spec files.", autocompletion=completion.specs)],
    settings: Settings = None,
    variant: Variant = None,
    strict: Annotated[bool, typer.Option("--strict", help="Warnings are errors.")] = False,
    format: Annotated[
        Literal["text", "concise", "json", "github", "sarif"], typer.Option("--format", help="How to print findings.")
    ] = "text",
) -> None:
    """Report everything that is wrong with a spec, variants included, and warn of what looks unintended.

    Exit 0 clean or warnings alone, 1 errors, 2 bad usage. `netspec explain CODE` says why, and how to allow a warning.
    """
    from dataclasses import replace

    from netspec import api, render
    from netspec.cli import encodable

    found = [finding for spec in specs for finding in api.check(spec, variant=variant, set=settings or ())]
    if strict:
        found = [replace(finding, level="error") for finding in found]
    color = format == "text" and sys.stdout.isatty() and "NO_COLOR" not in os.environ
    sys.stdout.write(encodable(render.render(found, format, color=color), sys.stdout.encoding))
    if any(finding.level == "error" for finding in found):
        raise typer.Exit(1)
    if format == "text" and not found:
        typer.echo(f"{', '.join(specs)}: no findings")
