"""netspec bench: how fast a bundle runs here, on what."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from netspec.cli.options import BundleFolder, Force
from netspec.cli.progress import saying

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from netspec.bench.nodes import NodeTable
    from netspec.bench.report import Report, Timing

_WIDTH = 160  # of a file or a pipe: nothing is cut


def command(
    folder: BundleFolder,
    backends: Annotated[
        str, typer.Option(metavar="NAME,…", help="torch, torch.compile and targets of the bundle; default: all.")
    ] = "",
    sizes: Annotated[
        list[str], typer.Option(metavar="SIZES", help="opt, min, max, or height=64,width=64; may be given again.")
    ] = ["opt"],  # noqa: B006  # typer copies it
    rounds: Annotated[
        int | None, typer.Option(min=1, help="Turns of each backend; default: as --seconds allow.")
    ] = None,
    seconds: Annotated[
        float | None, typer.Option(min=0, help="Of measuring, for each of the sizes; default: 20 without --rounds.")
    ] = None,
    threads: Annotated[int, typer.Option(min=0, help="Of each backend; default: one for each processor.")] = 0,
    per_node: Annotated[bool, typer.Option("--per-node", help="Where the time goes, by nodes of the plan.")] = False,
    plot: Annotated[str | None, typer.Option(metavar="FILE.svg", help="Draw the medians as well.")] = None,
    force: Force = False,
    format: Annotated[Literal["text", "json"], typer.Option("--format", help="How to print it.")] = "text",
) -> None:
    """Time a bundle's backends against each other: each in its own process, in turn, in random order."""
    from netspec.cli import output

    output.check_free(plot, force)
    with saying() as report:
        report("starting")
        from netspec.bench import measure
        from netspec.bench import plot as drawing

        names = [name.strip() for name in backends.split(",") if name.strip()]
        options = measure.Options(names, sizes, rounds, seconds, threads, per_node)
        measured = measure.measure(folder, options, report)
    if format == "json":
        typer.echo(json.dumps(measured.data(), indent=2, ensure_ascii=False))
    else:
        _print(measured)
    if plot is not None and measured.timings:
        output.write(drawing.svg(measured), plot, force)
    if not measured.timings:
        raise typer.Exit(1)


def _print(report: Report) -> None:
    from rich.console import Console

    from netspec.bench.sizes import words

    console = Console(file=sys.stdout, highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else _WIDTH)
    where = report.environment
    console.print(f"{where.cpu}, {where.processors} processors, {where.threads} threads, {_versions(report)}")
    groups: dict[tuple[str, ...], list[Timing]] = {}
    for timing in report.timings:
        title = f"{' '.join((report.name, *timing.outputs))} at {words(timing.sizes)}"
        groups.setdefault((title, timing.base), []).append(timing)
    for (title, base), timings in groups.items():
        console.print(_timings(title, base, timings))
    for absent in report.absent:
        at = f" at {words(absent.sizes)}" if absent.sizes else ""
        console.print(f"{' '.join((absent.name, *absent.outputs))}{at}: not run: {absent.reason}", markup=False)
    if report.timings:
        rounds = min(timing.rounds for timing in report.timings)
        console.print(f"at least {rounds} rounds, backends in random order in each; ratios: medians, 95 % confidence")
        console.print(f"memory: {report.memory_by}, the most so far; load: until the first result")
    for table in report.tables:
        _print_nodes(console, table)


def _versions(report: Report) -> str:
    shown = ("torch", "onnxruntime", "onnxruntime-gpu", "openvino", "executorch")
    versions = report.environment.versions
    return ", ".join(f"{name} {versions[name]}" for name in shown if name in versions)


def _timings(title: str, base: str, timings: list[Timing]) -> Table:
    rows = [
        (
            timing.backend,
            timing.precision,
            _ms(timing.median),
            _ms(timing.p90),
            f"{timing.throughput:,.{0 if timing.throughput >= 100 else 2}f}",
            "1.00" if timing.backend == base else _ratio(timing),
            f"{timing.peak_bytes / 1e6:,.0f} MB" if timing.peak_bytes else "",
            f"{timing.load + timing.first:.2f} s",
        )
        for timing in timings
    ]
    headings = ("backend", "precision", "median", "p90", "samples/s", f"of {base}", "peak memory", "load")
    return _table(title, headings, rows, left=2)


def _print_nodes(console: Console, table: NodeTable) -> None:
    from netspec.bench.sizes import words

    rows = [
        (
            row.node,
            row.place,
            f"{1e3 * row.seconds:.3f}",
            f"{100 * row.share:.1f} %",
            "" if row.speed is None else f"{row.speed / 1e9:,.1f}",
        )
        for row in table.rows
    ]
    whole = ("whole run", "", f"{1e3 * table.seconds:.3f}", "100.0 %", "")
    title = f"{' '.join((table.backend, *table.outputs))} at {words(table.sizes)}, mean of {table.runs} profiled runs"
    console.print(_table(title, ("node", "spec", "ms", "share", "GFLOP/s"), [*rows, whole], left=2))


def _table(title: str, headings: Sequence[str], rows: Sequence[Sequence[str]], left: int) -> Table:
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=None)
    for index, heading in enumerate(headings):
        table.add_column(heading, justify="left" if index < left else "right", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    return table


def _ms(seconds: float) -> str:
    return f"{1e3 * seconds:,.2f} ms" if seconds < 0.1 else f"{1e3 * seconds:,.0f} ms"


def _ratio(timing: Timing) -> str:
    ratio = timing.ratio
    return f"{ratio.value:.2f} ({ratio.low:.2f} to {ratio.high:.2f})"
