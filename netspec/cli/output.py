"""A text that a command writes: to a file that was not there, or to standard output."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

import typer


def write(text: str | bytes, output: str | None, force: bool) -> None:
    """Write `text`, or what is no text, to the file `output`, as a whole or not at all; print it where that is None.

    Raises UsageError NS924 where the file is there and nobody forces, WeightsError NS617 where it cannot be written.
    """
    from netspec.weights.files import cannot_write

    if output is None:
        typer.echo(text, nl=False)  # bytes as they are
        return
    check_free(output, force)
    path = Path(output)
    growing = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}")
    try:
        growing.write_bytes(text.encode() if isinstance(text, str) else text)
        growing.replace(path)
    except OSError as error:
        growing.unlink(missing_ok=True)
        raise cannot_write(path, error) from error


def check_free(output: str | None, force: bool) -> None:
    """Refuse now what `write` would refuse after the work is done: UsageError NS924."""
    from netspec.errors import Diagnostic, UsageError

    if output is not None and (path := Path(output)).exists() and not path.is_dir() and not force:
        help = "choose another name, or overwrite it with `--force`"
        raise UsageError(Diagnostic("NS924", f"{path} exists already", help=(help,)))
