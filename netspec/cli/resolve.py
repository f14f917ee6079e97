"""netspec resolve: the spec with every choice written out."""

from __future__ import annotations

from typing import Annotated

import typer

from netspec.cli.options import Settings, SpecFile, Variant


def command(
    spec: SpecFile,
    settings: Settings = None,
    variant: Variant = None,
    origin: Annotated[bool, typer.Option("--origin", help="One value a line, with where it comes from.")] = False,
) -> None:
    """Print the resolved spec: extends, variant and settings applied, every default filled in."""
    from netspec import api
    from netspec import spec as specs
    from netspec.origins import origins

    resolved = api.load(spec, variant=variant, set=settings or ())
    if not origin:
        typer.echo(specs.text(resolved), nl=False)
        return
    rows = [(f"{path}: {value}", source) for path, value, source in origins(resolved)]
    width = max(len(left) for left, _ in rows)
    for left, source in rows:
        typer.echo(f"{left:<{width}}  # {source}")
