"""netspec new: a spec to start from."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

import typer

TEMPLATES = Path(__file__).parent.parent / "templates"


def command(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of the network and of the file NAME.yaml.")],
    family: Annotated[Literal["unet", "dit", "autoencoder"], typer.Option(help="What kind of network.")] = "unet",
) -> None:
    """Write a small commented spec NAME.yaml that builds as it is, and the schema that editors read."""
    from netspec import schema
    from netspec.errors import Diagnostic, UsageError

    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_.-]*", name):
        raise UsageError(
            Diagnostic("NS923", f"`{name}` is not a name", help=("use letters, digits, `-`, `_` and `.`",))
        )
    path = Path(f"{name}.yaml")
    content = (TEMPLATES / f"{family}.yaml").read_text(encoding="utf-8").replace("NAME", name)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(content)
    except FileExistsError:
        raise UsageError(Diagnostic("NS924", f"{path} exists already", help=("choose another name",))) from None
    Path("netspec.schema.json").write_text(schema.text(), encoding="utf-8")
    typer.echo(f"wrote {path}\n  netspec show {path}\n  netspec build {path}")
