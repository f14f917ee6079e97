"""netspec diff: what differs between two networks, in the terms of their architecture."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from netspec.cli import completion
from netspec.cli.options import Force, Output, Settings, Variant

if TYPE_CHECKING:
    from netspec.diff import Difference
    from netspec.diff.tensors import Tensor

_SIDE = "SPEC, SPEC@VARIANT, a bundle, a weights or ONNX file of netspec's, git:REV:PATH."


def command(
    a: Annotated[str, typer.Argument(metavar="A", help=_SIDE, autocompletion=completion.specs)],
    b: Annotated[
        str | None,
        typer.Argument(
            metavar="[B]",
            help="Likewise; @VARIANT and git:REV are of A's file. Default: A's last commit.",
            autocompletion=completion.specs,
        ),
    ] = None,
    settings: Settings = None,
    variant: Variant = None,
    nodes: Annotated[
        bool, typer.Option("--nodes", help="Every node that differs, after the stages, as text and Markdown.")
    ] = False,
    weights: Annotated[bool, typer.Option("--weights", help="Every tensor that does not load, with torch.")] = False,
    exit_code: Annotated[bool, typer.Option("--exit-code", help="Exit 1 where anything differs.")] = False,
    format: Annotated[
        Literal["text", "json", "markdown", "html"], typer.Option("--format", help="How to show it.")
    ] = "text",
    output: Output = None,
    force: Force = False,
) -> None:
    """Compare two networks: choices, stages, costs, interface, and whether A's weights load into B.

    --variant and --set are laid over B, which is A where it is left out. Exit 0; with --exit-code, 1 for a difference.
    """
    from netspec import diff
    from netspec.cli import output as writing
    from netspec.diff import sides

    writing.check_free(output, force)
    first, second = sides.read(a, b, variant=variant, settings=settings or ())
    old, new = sides.plans(first, second)
    found = diff.compare(old, new, (first.label, second.label))
    tensors: list[Tensor] = []
    if weights:
        from netspec.diff.tensors import listed

        tensors = listed(old, new)
    writing.write(_shown(found, format, nodes, tensors), output, force)
    if exit_code and not found.equal:
        raise typer.Exit(1)


def _shown(found: Difference, format: str, nodes: bool, tensors: list[Tensor]) -> str:
    if format == "json":
        data = found.data() | ({"tensors": [each.data() for each in tensors if not each.loads]} if tensors else {})
        return json.dumps(data, indent=2, ensure_ascii=False) + "\n"
    told: list[str] = []
    if tensors:
        from netspec.diff.tensors import lines

        told = lines(tensors)
    match format:
        case "markdown":
            from netspec.diff.markdown import markdown

            return markdown(found, nodes=nodes, tensors=told)
        case "html":
            from netspec.diff.page import html

            return html(found, tensors=told)
        case _:
            from netspec.diff.text import text

            return text(found, nodes=nodes, tensors=told)
