"""netspec export-config: a spec → another program's settings."""

from __future__ import annotations

import json

import typer

from netspec.cli.options import Force, Output, Settings, SpecFile, Variant


def command(
    spec: SpecFile, output: Output = None, force: Force = False, settings: Settings = None, variant: Variant = None
) -> None:
    """Write the diffusers config.json of a network that diffusers can express."""
    from netspec import api
    from netspec.cli.output import write
    from netspec.importers.exporting import export

    config = export(api.load(spec, variant=variant, set=settings or ()))
    write(json.dumps(config, indent=2) + "\n", output, force)
    if output is not None:
        typer.echo(f"wrote {output}: {config['_class_name']}")
