"""A line that says what is going on, where there is a terminal to say it to."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_WORDS = {
    "import": "starting",
    "plan": "planning",
    "weights": "writing weights",
    "export": "exporting",
    "parity": "comparing",
    "manifest": "hashing",
    "verify": "checking",
}


@contextmanager
def steps() -> Iterator[Callable[[str, str], None]]:
    """Yields `report(step, detail)`; the line is on stderr and leaves nothing behind."""
    from rich.console import Console

    console = Console(stderr=True, highlight=False)
    with console.status("starting") as status:
        yield lambda step, detail: status.update(f"{_WORDS[step]} [dim]{detail}[/dim]")


@contextmanager
def saying() -> Iterator[Callable[[str], None]]:
    """Yields `say(text)`: the same line in plain text. No thread turns a wheel: it would take time from what runs."""
    if not sys.stderr.isatty():
        yield lambda text: None
        return

    def say(text: str) -> None:
        sys.stderr.write(f"\r\x1b[K{text}")
        sys.stderr.flush()

    try:
        yield say
    finally:
        say("")
