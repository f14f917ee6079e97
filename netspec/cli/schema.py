"""netspec schema: the language as JSON Schema."""

from __future__ import annotations

from netspec.cli.options import Force, Output


def command(output: Output = None, force: Force = False) -> None:
    """Print the JSON Schema (2020-12) of spec files, for editors and other validators, or write it to a file."""
    from netspec import schema
    from netspec.cli.output import write

    write(schema.text(), output, force)
