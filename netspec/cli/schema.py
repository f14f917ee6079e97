"""netspec schema: the language as JSON Schema."""

from __future__ import annotations

import typer


def command() -> None:
    """Print the JSON Schema (2020-12) of spec files, for editors and other validators."""
    from netspec import schema

    typer.echo(schema.text(), nl=False)
