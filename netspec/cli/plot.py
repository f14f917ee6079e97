"""netspec plot: a picture of a network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

import typer

from netspec.cli import completion
from netspec.cli.options import Force, Output, Settings, SpecFile, Variant

if TYPE_CHECKING:
    from netspec.drawing import Color
    from netspec.plan import Plan

Format: TypeAlias = Literal["svg", "png", "html", "mmd"]
Wanted: TypeAlias = Literal["kind", "cost", "params", "time", "precision"]
FORMATS: tuple[Format, ...] = ("svg", "png", "html", "mmd")
_READERS = {"--narrow": ("svg", "png"), "--scale": ("png",), "--color": ("svg", "png", "html")}


def command(
    spec: SpecFile,
    output: Output = None,
    format: Annotated[
        Format | None, typer.Option("--format", help="What to draw; default: as FILE ends, else svg. mmd is mermaid.")
    ] = None,
    color: Annotated[Wanted, typer.Option(help="What colours tell: kinds of layers, or shares of a whole.")] = "kind",
    settings: Settings = None,
    variant: Variant = None,
    only: Annotated[
        list[str] | None, typer.Option(metavar="OUTPUT", help="The part that makes this output; may be given again.")
    ] = None,
    narrow: Annotated[bool, typer.Option("--narrow", help="Of svg and png: for 400 pixels instead of 960.")] = False,
    scale: Annotated[
        float | None, typer.Option(min=0.25, max=16, help="Of png: pixels to each unit; default: 2.")
    ] = None,
    device: Annotated[
        str | None, typer.Option(metavar="NAME", help="Of --color time: whose roofline; default: cpu.")
    ] = None,
    bench: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Of --color time: `bench --per-node --format json` of the network."),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Of --color precision: which of the spec's targets.", autocompletion=completion.targets
        ),
    ] = None,
    force: Force = False,
) -> None:
    """Draw the network: levels and skips, sizes, what each stage is made of and costs."""
    from netspec import api
    from netspec.cli.output import check_free, write

    chosen = format or _format(output)
    given = {"--narrow": narrow, "--scale": scale is not None, "--color": color != "kind"}
    for option in (option for option, is_given in given.items() if is_given and chosen not in _READERS[option]):
        raise typer.BadParameter(f"{chosen} does not read it", param_hint=option)
    check_free(output, force)
    plan = api.lower(api.load(spec, variant=variant, set=settings or ()))
    if only:
        plan = plan.only(only)
    coat = _color(plan, color, device, bench, target)
    write(_drawn(plan, chosen, coat, narrow, scale or 2.0), output, force)


def _drawn(plan: Plan, format: Format, color: Color, narrow: bool, scale: float) -> str | bytes:
    from netspec import drawing

    measure = drawing.NARROW if narrow else drawing.WIDE
    match format:
        case "svg":
            return drawing.svg(plan, color=color, measure=measure)
        case "png":
            return drawing.png(plan, color=color, measure=measure, scale=scale)
        case "html":
            return drawing.html(plan, color=color)
        case "mmd":
            return drawing.mermaid(plan)


def _format(output: str | None) -> Format:
    """As the file's name ends. Raises BadParameter for an ending that is none."""
    if output is None:
        return "svg"
    end = Path(output).suffix.removeprefix(".").lower()
    for format in FORMATS:
        if end == format:
            return format
    raise typer.BadParameter(f"`{output}` ends in none of {', '.join(FORMATS)}: say --format", param_hint="--output")


def _color(plan: Plan, color: Wanted, device: str | None, bench: str | None, target: str | None) -> Color:
    """Raises BadParameter for an option of another colour."""
    from netspec import drawing

    for option, given, reader in ("device", device, "time"), ("bench", bench, "time"), ("target", target, "precision"):
        if given is not None and color != reader:
            raise typer.BadParameter(f"only `--color {reader}` reads it", param_hint=f"--{option}")
    if color == "time" and bench is not None:
        return drawing.measured(plan, _read(bench))
    if color == "time":
        return drawing.roofline(plan, device or drawing.DEVICE)
    if color == "precision":
        return drawing.precisions(plan, target)
    return color


def _read(path: str) -> dict[str, Any]:
    """A report of `netspec bench`. Raises UsageError NS946 for anything else."""
    from netspec.errors import Diagnostic, UsageError

    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
        if isinstance(data, dict) and "timings" in data:
            return data
        message = "it is no report of `netspec bench`"
    except (OSError, ValueError) as error:
        message = str(error)
    help = "write one with `netspec bench DIR --per-node --format json`"
    raise UsageError(Diagnostic("NS946", f"cannot take times from {path}: {message}", help=(help,)))
