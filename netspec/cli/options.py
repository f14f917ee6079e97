"""Arguments that several commands share."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from netspec.cli import completion
from netspec.errors import Diagnostic, UsageError

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*")  # of a network

SpecFile = Annotated[
    str,
    typer.Argument(
        metavar="SPEC",
        help="A spec file, a bundle, or the name of a shipped spec, such as tiny/unet.",
        autocompletion=completion.specs,
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="PATH=VALUE",
        help="Override one value, such as unet.blocks_per_level=3.",
        autocompletion=completion.settings,
    ),
]
Variant = Annotated[
    str | None,
    typer.Option("--variant", metavar="NAME", help="One of the spec's variants.", autocompletion=completion.variants),
]
BundleFolder = Annotated[
    str,
    typer.Argument(metavar="DIR", help="A bundle that `netspec build` wrote.", autocompletion=completion.bundles),
]
Layout = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="Whose keys the weights have: auto, or a layout, such as ldm:qkv=parts_first.",
        autocompletion=completion.layouts,
    ),
]
Ema = Annotated[bool, typer.Option("--ema", help="Take the averaged weights of a file that holds both.")]
Output = Annotated[
    str | None, typer.Option("--output", "-o", metavar="FILE", help="Where to write; default: standard output.")
]
Force = Annotated[bool, typer.Option("--force", help="Overwrite a file that is there.")]
WeightsFile = Annotated[
    str, typer.Argument(metavar="FILE", help="A file of weights, an index of shards, or a folder that holds one.")
]


def checked_name(name: str) -> str:
    """The name that somebody gives a network. Raises UsageError NS923 where it cannot be one."""
    if not NAME.fullmatch(name):
        help = "use letters, digits, `-`, `_` and `.`, beginning with a letter"
        raise UsageError(Diagnostic("NS923", f"`{name}` is not a name", help=(help,)))
    return name
