"""What a command that is about something else says of a spec's warnings: how many, and who tells them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from netspec.plan import Plan


def count_warnings(plan: Plan, spec: str, variant: str | None) -> None:
    """One line on stderr where the network has warnings that its spec does not allow."""
    from netspec import lints

    if count := len(lints.check(plan)):
        which = f" --variant {variant}" if variant else ""
        typer.echo(f"{count} warning{'' if count == 1 else 's'}: `netspec check {spec}{which}`", err=True)
