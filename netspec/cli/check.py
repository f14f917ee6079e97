"""netspec check: is the spec sound?"""

from __future__ import annotations

import os
import sys
from typing import Annotated, Literal

import typer

from netspec.cli.options import Settings, Variant


def command(
    specs: Annotated[list[str], typer.Argument(metavar="SPEC...", help="Spec files.")],
    settings: Settings = None,
    variant: Variant = None,
    format: Annotated[
        Literal["text", "concise", "json", "github", "sarif"], typer.Option("--format", help="How to print findings.")
    ] = "text",
) -> None:
    """Report everything that is wrong with a spec, variants included. Exit 0 clean, 1 findings, 2 bad usage."""
    from netspec import api, render
    from netspec.cli import encodable

    found = [finding for spec in specs for finding in api.check(spec, variant=variant, set=settings or ())]
    color = format == "text" and sys.stdout.isatty() and "NO_COLOR" not in os.environ
    sys.stdout.write(encodable(render.render(found, format, color=color), sys.stdout.encoding))
    if found:
        raise typer.Exit(1)
    if format == "text":
        typer.echo(f"{', '.join(specs)}: no findings")
