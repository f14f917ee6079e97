"""netspec new: a spec to start from, after the published guides."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from netspec.cli import completion, questions
from netspec.cli.options import Force, checked_name

if TYPE_CHECKING:
    from netspec.guide.wish import Wish

SCHEMA = "netspec.schema.json"
ROOTS = (".git", "pyproject.toml")  # what marks the folder that a project begins with

Family = Literal["unet", "dit", "mmdit", "autoencoder"]


def command(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of the network and of the file NAME.yaml.")],
    family: Annotated[Family, typer.Option(help="What kind of network.")] = "unet",
    image: Annotated[
        int, typer.Option(min=questions.SIDES[0], max=questions.SIDES[1], help="Side of the images in pixels.")
    ] = 64,
    budget: Annotated[str, typer.Option(metavar="PARAMETERS", help="At most so many, such as 100M or 1.5B.")] = "50M",
    target: Annotated[
        str,
        typer.Option(metavar="NAME", help="Where it will run, such as edge.", autocompletion=completion.deployments),
    ] = "",
    latent: Annotated[
        bool | None, typer.Option(help="Work on latents of an autoencoder; by default from images of 256 on.")
    ] = None,
    text: Annotated[bool, typer.Option("--text", help="Guided by text.")] = False,
    classes: Annotated[
        int, typer.Option(min=0, max=questions.CLASSES[1], help="Guided by one of so many classes.")
    ] = 0,
    like: Annotated[
        str | None,
        typer.Option(
            metavar="SPEC", help="A copy of a shipped spec, such as unet/adm.", autocompletion=completion.shipped_specs
        ),
    ] = None,
    output: Annotated[
        str | None, typer.Option("--output", "-o", metavar="FILE", help="Where to write; default: NAME.yaml.")
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Ask nothing: take what is not said from the defaults.")
    ] = False,
    force: Force = False,
) -> None:
    """Write a commented spec after the published guides for a size, and the schema that editors read.

    On a terminal and without options it asks. Each remark of the spec says which guide chose a number.
    """
    from netspec.cli.output import check_free
    from netspec.guide.wish import Wish
    from netspec.guide.wish import budget as parameters

    path = Path(output or f"{checked_name(name)}.yaml")
    check_free(str(path), force)
    if like is not None:
        _refuse_others(ctx)
        _copy(like, checked_name(name), path, force)
        return
    wish = Wish(checked_name(name), family, image, parameters(budget), _known(target), latent, text, classes)
    if not yes and not _said(ctx) and questions.possible():
        wish = questions.ask(wish)
    _write(wish, path, force)


_CHOICES = ("family", "image", "budget", "target", "latent", "text", "classes")


def _said(ctx: typer.Context) -> list[str]:
    """The choices that stand on the command line."""
    return [name for name in _CHOICES if (source := ctx.get_parameter_source(name)) and source.name != "DEFAULT"]


def _refuse_others(ctx: typer.Context) -> None:
    if said := _said(ctx):
        raise typer.BadParameter(f"a copy has no choices of its own: leave out --{said[0]}", param_hint="--like")


def _known(target: str) -> str:
    """The target, if it is one."""
    from netspec.guide.rules.targets import TARGETS

    if target and target not in TARGETS:
        raise typer.BadParameter(f"`{target}` is none of {', '.join(TARGETS)}", param_hint="--target")
    return target


def _write(wish: Wish, path: Path, force: bool) -> None:
    from netspec import guide
    from netspec.guide.wish import in_words

    written = guide.write(wish)
    schema = _save(written.text, path, force)
    larger = f"the next larger one has {in_words(written.above)}" if written.above else "the guides have none larger"
    typer.echo(
        f"wrote {path}, and {schema} for editors\n"
        f"  {written.params:,} parameters of {wish.budget:,}; {larger}\n"
        f"  netspec show {path}\n  netspec build {path}"
    )


def _copy(model: str, name: str, path: Path, force: bool) -> None:
    from netspec.cli.output import check_free, write
    from netspec.guide import copying

    copy = copying.like(model, name)
    beside = [path.parent / base.name for base in copy.beside]
    if path in beside:
        raise typer.BadParameter(f"`{model}` extends a {path.name} of its own: choose another", param_hint="NAME")
    texts = {where: base.read_bytes() for where, base in zip(beside, copy.beside, strict=True)}
    lacking = {where: text for where, text in texts.items() if not where.is_file() or where.read_bytes() != text}
    for where in lacking:
        check_free(str(where), force)
    for where, text in lacking.items():
        write(text, str(where), force)
    schema = _save(copy.text, path, force)
    files = ", ".join(map(str, [path, *lacking]))
    typer.echo(f"wrote {files}, and {schema} for editors\n  netspec show {path}\n  netspec build {path}")


def _save(text: str, path: Path, force: bool) -> str:
    """Write the spec, and the schema that its first line points at. Returns where that lies."""
    from netspec import schema
    from netspec.cli.output import write

    file, newest = _schema_file(path.parent), schema.text()
    pointer = Path(os.path.relpath(file, path.parent)).as_posix()
    write(f"# yaml-language-server: $schema={pointer}\n{text}", str(path), force)
    if not file.is_file() or file.read_text(encoding="utf-8") != newest:
        write(newest, str(file), force=True)
    return os.path.relpath(file)


def _schema_file(folder: Path) -> Path:
    """Where the schema of a folder's specs lies: in it, or in a folder above that is of the same project.

    So the specs of a project share one, wherever in it they are.
    """
    home = folder.resolve()
    above = (home, *home.parents)
    root = next((i for i, each in enumerate(above) if any((each / mark).exists() for mark in ROOTS)), 0)
    return next((file for each in above[: root + 1] if (file := each / SCHEMA).is_file()), home / SCHEMA)
