"""netspec new: a spec to start from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from netspec.cli.options import Force, checked_name

TEMPLATES = Path(__file__).parent.parent / "templates"
SCHEMA = "netspec.schema.json"


def command(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of the network and of the file NAME.yaml.")],
    family: Annotated[Literal["unet", "dit", "autoencoder"], typer.Option(help="What kind of network.")] = "unet",
    force: Force = False,
) -> None:
    """Write a small commented spec NAME.yaml that builds as it is, and the schema that editors read."""
    from netspec import schema
    from netspec.cli.output import write

    path = f"{checked_name(name)}.yaml"
    write((TEMPLATES / f"{family}.yaml").read_text(encoding="utf-8").replace("NAME", name), path, force)
    write(schema.text(), SCHEMA, force=True)
    typer.echo(f"wrote {path}, and {SCHEMA} for editors\n  netspec show {path}\n  netspec build {path}")
