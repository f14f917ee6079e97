"""netspec list: everything that a spec can name."""

from __future__ import annotations

from collections.abc import Iterable
from shutil import get_terminal_size
from textwrap import fill
from typing import Annotated

import typer

from netspec.cli import completion


def command(
    kind: Annotated[
        str | None,
        typer.Argument(
            metavar="[KIND]",
            help="One kind, such as norm or block; convention; or spec.",
            autocompletion=completion.kinds,
        ),
    ] = None,
) -> None:
    """List the components of every kind, or those of one with their settings, defaults and sources."""
    from netspec import conventions, registry, shipped
    from netspec.errors import Diagnostic, UsageError

    kinds = {name: sorted(registry.named(name)) for name in sorted(registry.kinds()) if name != "wiring"}
    others = {"convention": conventions.names(), "spec": shipped.names()}
    if kind is None:
        width = max(map(len, [*kinds, *others])) + 2
        for name, members in {**kinds, **others}.items():
            typer.echo(wrapped(members, f"{name:<{width}}", " " * width, ", "))
    elif kind in kinds:
        for name in kinds[kind]:
            typer.echo("\n".join(_component(registry.named(kind)[name], name)) + "\n")
    elif kind == "convention":
        for name in others[kind]:
            typer.echo("\n".join(_convention(name)) + "\n")
    elif kind == "spec":
        typer.echo("\n".join(others[kind]))
    else:
        known = ", ".join([*kinds, *others])
        raise UsageError(Diagnostic("NS922", f"no kind is called `{kind}`", help=(f"kinds: {known}",)))


def _component(cls: type, name: str) -> Iterable[str]:
    from netspec import registry
    from netspec.reference.words import default

    yield name
    yield wrapped((cls.__doc__ or "").split(), "    ", "    ")
    for field in registry.declared(cls).values():
        held = default(field).replace("`", "")
        usual = "required" if field.required else held if held.startswith("on") else f"default {held}"
        yield wrapped(f"{field.param.doc} ({usual})".split(), f"    {field.name}: ", "        ")
    if example := getattr(cls, "example", ""):
        yield f"    example: {example}"


def _convention(name: str) -> Iterable[str]:
    from netspec import conventions
    from netspec.reference.words import flow

    held = conventions.settings(name)
    yield name if held else f"{name}\n    the components' own defaults"
    for component, settings in held.items():
        yield f"    {component}: {flow(settings)}"


def wrapped(words: Iterable[str], first: str, others: str, between: str = " ") -> str:
    """A paragraph as wide as the terminal."""
    width = max(40, min(get_terminal_size().columns, 120))
    return fill(
        between.join(words),
        width,
        initial_indent=first,
        subsequent_indent=others,
        break_long_words=False,
        break_on_hyphens=False,
    )
