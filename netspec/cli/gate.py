"""netspec gate: will a runtime that is not here take an ONNX file?"""

from __future__ import annotations

import json
import sys
from typing import Annotated, Literal

import typer


def command(
    file: Annotated[str, typer.Argument(metavar="FILE.onnx", help="Any ONNX file; its weights are not read.")],
    targets: Annotated[
        list[str], typer.Option("--for", metavar="TARGET", help="Such as tensorrt-10.3; may be given several times.")
    ] = ["tensorrt-10.3", "tensorrt-11"],  # noqa: B006 - typer copies it
    memory: Annotated[
        str | None, typer.Option(metavar="SIZE", help="Of the GPU, such as 24GB: does the network fit?")
    ] = None,
    profile: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Sizes of the inputs, min, opt and max; default: profile.json beside it."),
    ] = None,
    format: Annotated[Literal["text", "json"], typer.Option("--format", help="How to print the verdicts.")] = "text",
) -> None:
    """Prove an ONNX file ready for a runtime, without its GPU, or list what stands in the way. Exit 0 pass, 1 fail."""
    from netspec import readiness
    from netspec.cli import encodable

    found = [readiness.find(target) for target in targets]
    verdicts = [gate(file, version, profile=profile, memory=memory) for gate, version in found]
    if format == "json":
        text = json.dumps([verdict.data() for verdict in verdicts], indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    else:
        text = "\n".join(verdict.text() for verdict in verdicts)
    sys.stdout.write(encodable(text, sys.stdout.encoding))
    if not all(verdict.passed for verdict in verdicts):
        raise typer.Exit(1)
