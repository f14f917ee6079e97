"""netspec verify: is a bundle still what was built?"""

from __future__ import annotations

from typing import Annotated

import typer

from netspec.cli.options import BundleFolder


def command(
    folder: BundleFolder,
    parity: Annotated[bool, typer.Option(help="Run the graphs against PyTorch again.")] = True,
) -> None:
    """Check every hash, the structure of the graphs and their parity again."""
    from netspec.cli.progress import steps

    with steps() as report:
        report("import", "torch")
        from netspec import verification

        checks = verification.verify(folder, parity=parity, progress=report)
    width = max(len(check.name) for check in checks)
    for check in checks:
        typer.echo(f"{check.name:<{width}}  {check.result}")
