"""netspec show: sizes, parameters and compute, without building anything."""

from __future__ import annotations

import json
from typing import Annotated, Literal

import typer

from netspec.cli.options import Settings, SpecFile, Variant


def command(
    spec: SpecFile,
    settings: Settings = None,
    variant: Variant = None,
    nodes: Annotated[bool, typer.Option("--nodes", help="Every node of the plan instead of the stages.")] = False,
    format: Annotated[Literal["text", "json"], typer.Option("--format", help="How to print it.")] = "text",
) -> None:
    """Print output size, parameters, GFLOPs and blocks per stage, and the totals."""
    from netspec import api
    from netspec.analysis import tables
    from netspec.cli.hints import count_warnings

    summary = api.summary(api.load(spec, variant=variant, set=settings or ()))
    if format == "json":
        typer.echo(json.dumps(summary.data(), indent=2))
    elif nodes:
        typer.echo(summary.plan.text(), nl=False)
    else:
        typer.echo(tables.text(summary), nl=False)
    count_warnings(summary.plan, spec, variant)
