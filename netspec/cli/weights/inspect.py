"""netspec weights inspect: what is in this file?"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from netspec.cli.options import WeightsFile

if TYPE_CHECKING:
    from netspec.weights.inspection import Inspection

WIDTH = 9  # of the words on the left


def command(
    file: WeightsFile,
    format: Annotated[Literal["text", "json"], typer.Option("--format", help="How to print it.")] = "text",
) -> None:
    """Say what a file of weights is: its form, layout and family, and the shipped spec that it fits, or nearly fits."""
    from netspec.cli.progress import steps

    with steps() as report:
        report("import", "torch")
        from netspec.weights.inspection import inspect

        found = inspect(file)
    if format == "json":
        typer.echo(json.dumps(found.data(), indent=2))
        return
    typer.echo(found.checkpoint.label)
    for word, text in _lines(found):
        typer.echo(f"  {word:<{WIDTH}} {text}")


def _lines(found: Inspection) -> Iterator[tuple[str, str]]:
    """(word, text): one thing a line, the word once for several lines of one kind."""
    yield "format", f"{found.checkpoint.kind}" + (f", {_size(found.bytes)}" if found.bytes else "")
    yield "layout", f"{found.layout} ({found.family})" if found.layout else "none that netspec knows"
    yield "tensors", f"{len(found.infos):,} with {sum(found.numbers.values()):,} parameters"
    yield "dtype", ", ".join(f"{dtype} {count:,}" for dtype, count in found.numbers.items())
    if found.embedded:
        yield "spec", f"its own: `{found.embedded}`"
    elif found.layout:
        yield "fits", ", ".join(found.fits) or "no shipped spec"
    for match in found.closest:
        yield "near", f"{match.network}: {match.reading.fit.problems:,} tensors are otherwise"
        yield from (("", f"  {line}") for line in match.data()["differences"])
    yield from (("also", other) for other in found.others)
    yield from (("note", remark) for remark in found.remarks)


def _size(count: int) -> str:
    for unit, step in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= step:
            return f"{count / step:.3g} {unit}"
    return f"{count} bytes"
