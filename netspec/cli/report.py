"""netspec report: a network and its proof as a page."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from netspec.cli import completion
from netspec.cli.options import Force, Settings, Variant


def command(
    source: Annotated[
        str,
        typer.Argument(
            metavar="DIR|SPEC", help="A bundle, or a spec that was not built.", autocompletion=completion.specs
        ),
    ],
    output: Annotated[
        str | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="Where to write; default: NAME-report.html, beside the bundle."
        ),
    ] = None,
    bench: Annotated[
        str | None, typer.Option(metavar="FILE", help="Figures of `netspec bench DIR --format json`.")
    ] = None,
    open: Annotated[bool, typer.Option("--open", help="Show it in a browser.")] = False,
    settings: Settings = None,
    variant: Variant = None,
    force: Force = False,
) -> None:
    """Show a bundle's report, or write one with figures of a benchmark, or of a spec alone.

    A bundle stays as it was built: what is measured goes into a page outside of it.
    """
    if not Path(source).is_dir():
        if bench is not None:
            raise typer.BadParameter("figures are those of a bundle; name its folder", param_hint="--bench")
        path = _of_spec(source, output, settings, variant, force)
    elif settings or variant:
        raise typer.BadParameter("a bundle has its own already", param_hint="--set, --variant")
    else:
        path = _of_bundle(Path(source), output, bench, force)
    typer.echo(path)
    if open:
        typer.launch(path.resolve().as_uri())


def _of_bundle(folder: Path, output: str | None, bench: str | None, force: bool) -> Path:
    """The bundle's own page where nothing else is wanted."""
    from netspec.bundle import Manifest
    from netspec.cli.output import check_free, write
    from netspec.errors import WeightsError
    from netspec.report import bundle, measured

    manifest = Manifest.read(folder)
    if output is None and bench is None and bundle.FILE in manifest.files:
        if changed := manifest.check_files(folder, lambda path: path == bundle.FILE):
            raise WeightsError(*changed)
        return folder / bundle.FILE
    found = folder.resolve()
    path = Path(output or os.path.relpath(found.with_name(f"{found.name}-report.html")))
    if found in path.resolve().parents:
        raise typer.BadParameter("the bundle would not be what its manifest says; write elsewhere", param_hint="-o")
    check_free(str(path), force)
    figures = None if bench is None else measured.read(Path(bench), manifest.name)
    write(bundle.page(folder, figures), str(path), force)
    return path


def _of_spec(source: str, output: str | None, settings: Settings, variant: Variant, force: bool) -> Path:
    from netspec import api, report
    from netspec.cli.output import write

    plan = api.lower(api.load(source, variant=variant, set=settings or ()))
    path = Path(output or f"{plan.spec.name}-report.html")
    write(report.html(plan, report.Notes.of(plan)), str(path), force)
    return path
