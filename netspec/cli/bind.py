"""netspec bind: other weights for a bundle."""

from __future__ import annotations

from typing import Annotated

import typer

from netspec.cli.options import BundleFolder, Ema, Layout


def command(
    folder: BundleFolder,
    weights: Annotated[str, typer.Argument(metavar="WEIGHTS", help="A file, an index of shards, or a folder.")],
    layout: Layout = "auto",
    ema: Ema = False,
) -> None:
    """Bind a weights file to a bundle's graphs, verify them together and replace the bundle."""
    from netspec.cli.build import _report
    from netspec.cli.progress import steps

    with steps() as report:
        report("import", "torch")
        from netspec import compiler

        result = compiler.bind(folder, weights, layout, report, ema=ema)
    _report(result)
