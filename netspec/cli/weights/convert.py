"""netspec weights convert: the same numbers under other names."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from netspec.cli.options import Ema, Layout, Settings, Variant, WeightsFile


def command(
    file: WeightsFile,
    output: Annotated[str, typer.Argument(metavar="OUT", help="The safetensors file to write.")],
    to: Annotated[
        str, typer.Option("--to", metavar="NAME", help="The layout to write, such as diffusers:projections=linear.")
    ] = "netspec",
    layout: Layout = "auto",
    spec: Annotated[
        str | None, typer.Option("--spec", metavar="SPEC", help="The network; found among the shipped ones without it.")
    ] = None,
    settings: Settings = None,
    variant: Variant = None,
    dtype: Annotated[
        Literal["fp32", "fp16", "bf16"] | None, typer.Option("--dtype", help="Of the numbers; as they are without it.")
    ] = None,
    ema: Ema = False,
) -> None:
    """Write a checkpoint in another layout, tensor by tensor: memory does not grow with the file."""
    from netspec import api
    from netspec.cli.progress import steps

    plan = api.lower(api.load(spec, variant=variant, set=settings or ())) if spec else None
    with steps() as report:
        report("import", "torch")
        from netspec.weights.convert import convert

        report("weights", output)
        done = convert(file, output, to=to, layout=layout, plan=plan, dtype=dtype, ema=ema)
    for remark in done.remarks:
        typer.echo(f"read: {remark}")
    typer.echo(f"wrote {output}: layout `{done.layout}`, {done.tensors:,} tensors of {done.network}")
