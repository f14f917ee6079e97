"""netspec build: a spec → a verified bundle."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from netspec.cli import completion
from netspec.cli.options import Ema, Layout, Settings, SpecFile, Variant

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from netspec.bundle import ParityRow
    from netspec.compiler import Result


def command(
    spec: SpecFile,
    output: Annotated[str | None, typer.Option("--output", "-o", metavar="DIR", help="Default: build/NAME.")] = None,
    settings: Settings = None,
    variant: Variant = None,
    weights: Annotated[str, typer.Option(metavar="random|none|FILE", help="Where the weights come from.")] = "random",
    layout: Layout = "auto",
    ema: Ema = False,
    seed: Annotated[int, typer.Option(min=0, max=2**31 - 1, help="Of random weights.")] = 0,
    target: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Only these of the spec's targets.", autocompletion=completion.targets),
    ] = None,
    parity: Annotated[bool, typer.Option(help="Run the exported graph against PyTorch.")] = True,
    force: Annotated[bool, typer.Option("--force", help="Build even if nothing changed.")] = False,
) -> None:
    """Compile a spec into a folder with weights, graphs, manifest and proof."""
    from netspec import api
    from netspec.cli.hints import count_warnings
    from netspec.cli.progress import steps

    plan = api.lower(api.load(spec, variant=variant, set=settings or ()))  # every mistake is told before torch is there
    count_warnings(plan, spec, variant)
    folder = output or f"build/{plan.spec.name}"
    with steps() as report:
        report("import", "torch")
        from netspec import compiler

        options = compiler.Options(weights, layout, ema, seed, tuple(target or ()), force, parity)
        result = compiler.compile(plan, folder, options, report)
    _report(result)


def _report(result: Result) -> None:
    """The closing table: what was built, how large, how right."""
    from rich.console import Console
    from rich.table import Table

    console = Console(file=sys.stdout, highlight=False)
    manifest = result.manifest
    if result.fresh:
        console.print(f"{result.folder}: fresh, nothing to do ([bold]--force[/bold] builds again)", soft_wrap=True)
        return
    table = Table(title=f"{manifest.name}  {manifest.params:,} parameters", title_justify="left", box=None)
    for heading in ("file", "size", "sha256"):
        table.add_column(heading, justify="right" if heading == "size" else "left")
    page = "report.html"  # about the files, and for people: named at the end
    for path, entry in manifest.files.items():
        if path != page:
            table.add_row(path, f"{entry.bytes:,}", entry.sha256[:12])
    console.print(table)
    if manifest.parity:
        console.print(_parity(result))
    for reason in result.skipped:
        console.print(f"parity not run at {reason}" if not reason.startswith("all: ") else f"no parity: {reason[5:]}")
    for remark in result.remarks:
        console.print(f"weights: {remark}", soft_wrap=True)
    console.print(f"wrote {result.folder}, and all about it in {result.folder / page}", soft_wrap=True)


def _parity(result: Result) -> object:
    """Every comparison of one target; of several a line each: where each was furthest from PyTorch."""
    from rich.table import Table

    several = len(result.manifest.targets) > 1
    table = Table(title="parity, PyTorch float32 against the exported graph", title_justify="left", box=None)
    first = ("target", "precision", "worst at") if several else ("sizes",)
    for heading in (*first, "timestep", "max |Δ|", "relative", "tolerance", ""):
        left = heading in ("target", "precision", "worst at", "sizes", "")
        table.add_column(heading, justify="left" if left else "right")
    rows = _worst(result.manifest.parity) if several else result.manifest.parity
    for row in rows:
        sizes = ", ".join(f"{name} {size}" for name, size in row.sizes.items()) or "fixed"
        sizes = f"{row.output}: {sizes}" if row.output else sizes
        step = "" if row.timestep is None else f"{row.timestep:g}"
        passed = "[green]ok[/green]" if row.passed else "[red]failed[/red]"
        cells = (row.target or "onnx", row.dtype, sizes) if several else (sizes,)
        table.add_row(*cells, step, f"{row.max_abs:.1e}", f"{row.max_rel:.1e}", f"{row.tolerance:.0e}", passed)
    return table


def _worst(rows: Sequence[ParityRow]) -> Iterator[ParityRow]:
    """Of each target and output the row with the largest relative difference."""
    for key in dict.fromkeys((row.target, row.output) for row in rows):
        yield max((row for row in rows if (row.target, row.output) == key), key=lambda row: row.max_rel)
