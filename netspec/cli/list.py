"""netspec list: everything that a spec can name."""

from __future__ import annotations

from typing import Annotated

import typer


def command(
    kind: Annotated[str | None, typer.Argument(metavar="[KIND]", help="One kind, such as norm or block.")] = None,
) -> None:
    """List the components of every kind, or of one with its settings, defaults and source."""
    from netspec import registry
    from netspec.errors import Diagnostic, UsageError

    kinds = {name: base for name, base in registry.kinds().items() if name != "wiring"}
    if kind is None:
        width = max(len(name) for name in kinds)
        for name in sorted(kinds):
            typer.echo(f"{name:<{width}}  {', '.join(sorted(registry.named(name)))}")
        return
    if kind not in kinds:
        raise UsageError(
            Diagnostic("NS922", f"no kind is called `{kind}`", help=(f"kinds: {', '.join(sorted(kinds))}",))
        )
    for name, cls in sorted(registry.named(kind).items()):
        typer.echo(f"{name}\n    {' '.join((cls.__doc__ or '').split())}")
        for field in registry.declared(cls).values():
            default = "required" if field.required else f"default {_default(field.default)}"
            typer.echo(f"    {field.name}: {field.param.doc} ({default})")
        typer.echo("")


def _default(value: object) -> str:
    from netspec.fields import Choice

    match value:
        case None:
            return "none"
        case bool():
            return str(value).lower()
        case Choice(name, settings):
            inner = ", ".join(f"{key}: {item}" for key, item in settings.items())
            return name if name and not inner else f"{{{inner}}}" if not name else f"{{type: {name}, {inner}}}"
        case _:
            return str(value)
