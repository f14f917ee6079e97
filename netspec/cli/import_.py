"""netspec import: another program's network → a spec."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from netspec.cli.options import NAME, Force, Output, checked_name


def command(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE", help="A diffusers config.json or its folder, a CompVis YAML file, or a bare checkpoint."
        ),
    ],
    output: Output = None,
    force: Force = False,
    name: Annotated[str | None, typer.Option(metavar="NAME", help="Of the network; default: the output's.")] = None,
    heads: Annotated[int | None, typer.Option(min=1, help="Number of attention heads.")] = None,
    head_dim: Annotated[int | None, typer.Option(min=1, help="Width of an attention head.")] = None,
    groups: Annotated[int | None, typer.Option(min=1, help="Groups of group norms, where not 32.")] = None,
    size: Annotated[int | None, typer.Option(min=1, help="Side of the image or latent.")] = None,
    tokens: Annotated[int | None, typer.Option(min=1, help="Length of the context.")] = None,
    classes: Annotated[
        int | None, typer.Option(min=1, help="Classes of a label, the one for none not counted.")
    ] = None,
    axes: Annotated[
        str | None, typer.Option(metavar="N,N,N", help="Channels of a head that each rotary coordinate turns.")
    ] = None,
    convention: Annotated[str | None, typer.Option(metavar="NAME", help="Whose silent numerics hold.")] = None,
    part: Annotated[
        str | None, typer.Option(metavar="NAME", help="One of the networks of a file with several.")
    ] = None,
) -> None:
    """Write the spec of a network that another program describes. What files leave open is asked as options."""
    from netspec.cli.output import write
    from netspec.importers import Options
    from netspec.importers.matching import match
    from netspec.importers.reading import import_file

    stem = Path(output).stem if output else ""
    called = checked_name(name) if name is not None else stem if NAME.fullmatch(stem) else None
    options = Options(
        name=called, heads=heads, head_dim=head_dim, groups=groups, size=size, tokens=tokens, classes=classes,
        axes=_numbers(axes), convention=convention, part=part,
    )  # fmt: skip
    found = import_file(file, options)
    write(found.text, output, force)
    if output is not None:
        known = match(found.plan)
        typer.echo(
            f"wrote {output}: {found.plan.cost.params:,} parameters" + (f", the network of {known}" if known else "")
        )
    for each in found.assumed:
        typer.echo(f"assumed: {each}", err=output is None)
    if found.idle:
        given = ", ".join(f"--{each.replace('_', '-')}" for each in found.idle)
        typer.echo(f"not used: {given}; the file leaves nothing of that open", err=output is None)


def _numbers(text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    if not re.fullmatch(r"\d+(,\d+)*", text):
        raise typer.BadParameter(f"{text!r} is no list of numbers such as 16,56,56", param_hint="--axes")
    return tuple(map(int, text.split(",")))
