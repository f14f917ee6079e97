"""netspec sweep: what a network would cost, for a whole grid of settings."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from netspec.cli import completion
from netspec.cli.options import Force, Output, SpecFile
from netspec.cli.progress import saying

if TYPE_CHECKING:
    from netspec.sweep import Outcome

_FIGURE = "params, gflops, activations, ms"

Axes = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="PATH=VALUE,…",
        help="An axis; values with commas in brackets or quotes.",
        autocompletion=completion.axes,
    ),
]
Variants = Annotated[
    list[str] | None,
    typer.Option(
        "--variant",
        metavar="NAME,…",
        help="An axis of the spec's variants.",
        autocompletion=completion.several_variants,
    ),
]


def command(
    spec: SpecFile,
    axes: Axes = None,
    variants: Variants = None,
    device: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Whose roofline: cpu, t4, l4, rtx4090, a100, h100:fp32, ….",
            autocompletion=completion.devices,
        ),
    ] = "cpu",
    budget: Annotated[
        list[str] | None,
        typer.Option(metavar="BOUND", help="Such as 'params<=100M, gflops<=50, activations<=1GB'."),
    ] = None,
    sort: Annotated[str, typer.Option(metavar="FIGURE", help=f"{_FIGURE}; -params: from large to small.")] = "",
    less: Annotated[
        list[str], typer.Option(metavar="FIGURE", help="What the Pareto front has little of; may be given again.")
    ] = ["ms"],  # noqa: B006  # typer copies it
    more: Annotated[
        list[str] | None,
        typer.Option(metavar="FIGURE", help="What the front has much of; may be given again. Default: params."),
    ] = None,
    front: Annotated[bool, typer.Option("--front", help="The points of the front alone.")] = False,
    measure: Annotated[
        int, typer.Option(metavar="N", min=0, help="Build the first N of the front and time them on ONNX Runtime.")
    ] = 0,
    format: Annotated[
        Literal["text", "json", "csv", "markdown", "html", "svg"], typer.Option("--format", help="How to show it.")
    ] = "text",
    output: Output = None,
    force: Force = False,
) -> None:
    """Tabulate parameters, GFLOPs, activation memory and the roofline's latency for every point of a grid.

    Points that no other beats are marked. Exit 0, or 1 where no point is a network.
    """
    from netspec import sweep
    from netspec.analysis.roofline import roof
    from netspec.cli import output as writing
    from netspec.sweep import front as fronts
    from netspec.sweep.costing import refusal
    from netspec.sweep.running import processors

    writing.check_free(output, force)
    for name in (*less, *(more or ()), *([sort.removeprefix("-")] if sort else [])):
        fronts.figure(name)
    less, more = fronts.trade(less, more)
    budgets = [bound for text in budget or () for bound in fronts.budgets(text)]
    grid, place = sweep.grid(spec, axes or (), variants or ()), roof(device)
    with _counting(len(grid)) as progress:
        costed = sweep.run(grid, place, processes=processors(), progress=progress)
    found = sweep.outcome(grid, place, costed, budgets=budgets, sort=sort, less=less, more=more)
    if found.refused == len(grid):
        refusal(grid)
    if measure:
        found = _measured(found, measure)
    writing.write(_shown(found.front_only() if front else found, format), output, force)


def _measured(found: Outcome, count: int) -> Outcome:
    from netspec.sweep.measured import measured  # imports torch

    with saying() as say:
        return measured(found, count, say)


def _shown(found: Outcome, format: str) -> str:
    from netspec.sweep import plot, table

    match format:
        case "json":
            return json.dumps(table.data(found), indent=2, ensure_ascii=False) + "\n"
        case "csv":
            return table.comma_separated(found)
        case "markdown":
            return table.markdown(found)
        case "html":
            return plot.html(found)
        case "svg":
            return plot.svg(found)
        case _:
            return table.text(found)


@contextmanager
def _counting(count: int) -> Iterator[Callable[[int], None]]:
    with saying() as say:
        yield lambda done: say(f"{done:,} of {count:,} points") if done % 50 == 0 else None
