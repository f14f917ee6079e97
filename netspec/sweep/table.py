"""An outcome as text, Markdown, CSV and plain data."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from typing import Any

from netspec.analysis.tables import amount
from netspec.sweep.costing import Point
from netspec.sweep.outcome import Outcome

_FIGURES = ("parameters", "GFLOPs", "activations", "ms")


def text(outcome: Outcome) -> str:
    """A row for every point, `*` before those of the front, and what else there is to say."""
    blocks = [_title(outcome)]
    if outcome.points:
        blocks.append("\n".join(_aligned(outcome)))
    blocks.append("\n".join(notes(outcome)))
    return "\n\n".join(blocks) + "\n"


def _title(outcome: Outcome) -> str:
    device = outcome.roof.device
    count = len(outcome.grid)
    return f"{count:,} point{'s' if count > 1 else ''}; ms: the least possible on {outcome.roof}, {device.title}"


def _aligned(outcome: Outcome) -> Iterator[str]:
    names = [name for _, name in outcome.grid.varying]
    rows = [("", *names, *_headings(outcome))]
    rows += [("*" if point.index in outcome.best else "", *cells(outcome, point)) for point in outcome.points]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    left = {0, *(number + 1 for number, name in enumerate(names) if _wordy(outcome, number))}
    for number, row in enumerate(rows):
        line = "  ".join(
            cell.ljust(width) if column in left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        yield line.rstrip()
        if number == 0:
            yield "-" * (sum(widths) + 2 * len(widths) - 2)


def _wordy(outcome: Outcome, number: int) -> bool:
    axis = outcome.grid.axes[outcome.grid.varying[number][0]]
    return not all(value.replace(".", "").isdecimal() for value in axis.values)


def _headings(outcome: Outcome) -> tuple[str, ...]:
    return (*_FIGURES, "measured") if outcome.measured else _FIGURES


def cells(outcome: Outcome, point: Point) -> list[str]:
    """What a row says of a point: the values of the axes that vary, then the figures."""
    words = outcome.grid.words(point.index)
    row = [words[number] for number, _ in outcome.grid.varying]
    row += [f"{point.params:,}", f"{point.gflops:,.2f}", amount(point.alive), milliseconds(1e3 * point.seconds)]
    if outcome.measured:
        timed = outcome.measured.get(point.index)
        row.append("" if timed is None else milliseconds(timed))
    return row


def milliseconds(value: float) -> str:
    """Three digits, or all of a large number."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def notes(outcome: Outcome) -> Iterator[str]:
    """The front in a sentence, the points that are missing, and why."""
    grid = outcome.grid
    if outcome.points:
        yield f"* {len(outcome.best):,} of {len(outcome.points):,} that no other point beats: {outcome.trade}"
    if outcome.outside:
        yield f"{outcome.outside:,} outside the budget"
    for cause in outcome.causes:
        settings = zip(grid.varying, (grid.words(cause.first)[number] for number, _ in grid.varying), strict=True)
        first = ", ".join(f"{name} {word}" for (_, name), word in settings)
        where = f" at {cause.path}" if cause.path else ""
        example = f", first with {first}" if first else ""
        yield f"{cause.count:,} refused: {cause.code}{where}: {cause.message}{example}"
    if any(len(axis.values) == 1 for axis in grid.axes):
        said = (f"{axis.path} {axis.values[0]}" for axis in grid.axes if len(axis.values) == 1)
        yield f"everywhere: {', '.join(said)}"


def markdown(outcome: Outcome) -> str:
    """A table for a pull request; points of the front in bold."""
    names = [f"`{name}`" for _, name in outcome.grid.varying]
    headings = [*names, *_headings(outcome)]
    lines = [_title(outcome) + ".", "", f"|{'|'.join(headings)}|", f"|{'|'.join(['---:'] * len(headings))}|"]
    for point in outcome.points:
        row = [cell.replace("|", "\\|") for cell in cells(outcome, point)]
        lines.append(f"|{'|'.join(_bold(row) if point.index in outcome.best else row)}|")
    told = [note.removeprefix("* ").replace("<", "&lt;") for note in notes(outcome)]
    return "\n".join([*lines, "", *(f"- {note}" for note in told)]) + "\n"


def _bold(row: Sequence[str]) -> list[str]:
    return [f"**{cell}**" if cell else cell for cell in row]


def comma_separated(outcome: Outcome) -> str:
    """CSV with a column for every axis and exact figures."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    figures = ["params", "gflops", "activation_bytes", "ms", "front"]
    writer.writerow([*(axis.path for axis in outcome.grid.axes), *figures, *["measured_ms"][: bool(outcome.measured)]])
    for point in outcome.points:
        row = [point.params, point.gflops, point.alive, 1e3 * point.seconds, int(point.index in outcome.best)]
        timed = [outcome.measured.get(point.index, "")] if outcome.measured else []
        writer.writerow([*outcome.grid.words(point.index), *row, *timed])
    return out.getvalue()


def data(outcome: Outcome) -> dict[str, Any]:
    """As plain data, for `--format json`."""
    grid, device = outcome.grid, outcome.roof.device
    return {
        "axes": [{"path": axis.path, "values": list(axis.values)} for axis in grid.axes],
        "device": {
            "name": device.name,
            "title": device.title,
            "precision": outcome.roof.precision,
            "flops": device.flops[outcome.roof.precision],
            "bandwidth": device.bandwidth,
            "source": device.source,
        },
        "front": {"less": list(outcome.less), "more": list(outcome.more)},
        "points": [_entry(outcome, point) for point in outcome.points],
        "outside_budget": outcome.outside,
        "refused": [
            {
                "code": cause.code,
                "path": cause.path,
                "message": cause.message,
                "count": cause.count,
                "first": dict(zip((axis.path for axis in grid.axes), grid.words(cause.first), strict=True)),
            }
            for cause in outcome.causes
        ],
    }


def _entry(outcome: Outcome, point: Point) -> dict[str, Any]:
    paths = (axis.path for axis in outcome.grid.axes)
    timed = outcome.measured.get(point.index)
    return {
        "settings": dict(zip(paths, outcome.grid.words(point.index), strict=True)),
        "params": point.params,
        "gflops": point.gflops,
        "activation_bytes": point.alive,
        "ms": 1e3 * point.seconds,
        "front": point.index in outcome.best,
        **({} if timed is None else {"measured_ms": timed}),
    }
