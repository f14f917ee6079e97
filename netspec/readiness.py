"""Gates: what says of a finished file, whoever wrote it, whether a runtime that is not here will take it.

netspec never imports an exporter. Gates are found by the entry points of the group `netspec.gates`.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any, Protocol

from netspec.errors import Diagnostic, UsageError
from netspec.plugins import installed

GROUP = "netspec.gates"


class Verdict(Protocol):
    """What a gate says of one file for one version of its runtime."""

    @property
    def passed(self) -> bool: ...

    def text(self) -> str:
        """For people."""

    def data(self) -> dict[str, Any]:
        """For programs: plain data."""


class Gate(Protocol):
    """Judges one file. `memory` is of the device, such as `24GB`; `profile` a file of sizes of the inputs.

    Raises UsageError for a version, profile or memory that it does not understand, never for what is wrong with `path`.
    """

    def __call__(self, path: str, version: str, profile: str | None = None, memory: str | None = None) -> Verdict: ...


def find(target: str) -> tuple[Gate, str]:
    """The gate and the version that a target such as `tensorrt-10.3` names. Raises UsageError NS548 for others."""
    name, _, version = target.partition("-")
    known = installed(GROUP)
    if name in known and version:
        return known[name].load(), version
    close = get_close_matches(name, known, n=1) or list(known)[:1]
    raise UsageError(
        Diagnostic(
            "NS548",
            f"`{target}` names no runtime and its version",
            help=(f"write it as {close[0]}-VERSION" if close else "no gate is installed",),
        )
    )
