"""netspec explain: what a code means."""

from __future__ import annotations

from typing import Annotated

import typer

from netspec.cli import completion


def command(
    code: Annotated[
        str | None,
        typer.Argument(
            metavar="[CODE]", help="A code, such as NS302; none lists all.", autocompletion=completion.codes
        ),
    ] = None,
) -> None:
    """Explain a diagnostic's code: what it means, why, an example and its remedy."""
    from netspec import explanations

    typer.echo(explanations.index() if code is None else explanations.page(code), nl=False)
