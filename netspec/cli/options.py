"""Arguments that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

SpecFile = Annotated[str, typer.Argument(metavar="SPEC", help="A spec file, such as specs/unet/sd15.yaml.")]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="PATH=VALUE", help="Override one value, such as unet.blocks_per_level=3."),
]
Variant = Annotated[str | None, typer.Option("--variant", metavar="NAME", help="One of the spec's variants.")]
BundleFolder = Annotated[str, typer.Argument(metavar="DIR", help="A bundle that `netspec build` wrote.")]
