"""The words by which a command line names the two networks of a comparison → specs.

unet/sd15, net.yaml         a shipped spec, a file
net.yaml@b-2                its variant; a file that is called so wins
@b-2                        a variant of the other side's spec
build/net, net.onnx         the spec of a bundle, of a file that netspec wrote
git:REV:specs/net.yaml      a file as a git revision has it
git:REV                     the other side's file at that revision
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from netspec import api, shipped
from netspec.diff.revisions import PREFIX, Revision
from netspec.errors import Diagnostic, UsageError
from netspec.plan import Plan
from netspec.spec import Expect, Spec

_GIT = re.compile(rf"{PREFIX}((?:\{{[^}}]*\}}|[^:])*):?(.*)", re.DOTALL)  # `HEAD@{12:30}` has a colon of its own


@dataclass(frozen=True)
class Reference:
    """One side: a file, name or folder, at a revision where there is one, with a variant and settings over it."""

    file: str
    variant: str | None = None
    settings: tuple[str, ...] = ()
    revision: Revision | None = None

    @property
    def label(self) -> str:
        """What to call it."""
        name = self.revision.named(self.file) if self.revision else self.file
        return " ".join([f"{name}@{self.variant}" if self.variant else name, *self.settings])

    def load(self) -> Spec:
        """Its spec. Raises SpecError, WeightsError; UsageError (NS941) for what git does not have."""
        if self.revision is not None:
            name = self.revision.named(self.file)
            text = self.revision.text(name)
            return api.loads(text, name=name, variant=self.variant, set=self.settings, shelf=self.revision)
        return api.load(self.file, variant=self.variant, set=self.settings)


def read(
    a: str, b: str | None, *, variant: str | None = None, settings: Sequence[str] = ()
) -> tuple[Reference, Reference]:
    """What A and B name. `variant` and `settings` are laid over B.

    Without B, A is compared with itself under these; without these as well, its last commit with the file as it is.
    Raises UsageError: NS942 where nothing is named, NS941 for what git does not have.
    """
    if b is None and (variant or settings):
        b = a
    elif b is None:
        a, b = f"{PREFIX}HEAD", a
    first, second = _one(a), _one(b)
    if not first.file and not second.file:
        message = "a variant or a revision alone is one of the other side's file"
        raise UsageError(Diagnostic("NS942", message, help=("write `netspec diff FILE @VARIANT`",)))
    first, second = _completed(first, second), _completed(second, first)
    return first, replace(second, variant=variant or second.variant, settings=tuple(settings))


def plans(first: Reference, second: Reference) -> tuple[Plan, Plan]:
    """Both plans, also of specs that are not what they expect of themselves: that is when somebody compares. Under
    settings nothing is expected, so then of neither. Raises what `Reference.load` and `api.lower` raise."""
    a, b = first.load(), second.load()
    if first.settings != second.settings:
        a, b = replace(a, expect=Expect()), replace(b, expect=Expect())
    return _lowered(a), _lowered(b)


def _lowered(spec: Spec) -> Plan:
    return replace(api.lower(replace(spec, expect=Expect())), spec=spec)


def _one(text: str) -> Reference:
    """One side by itself; no file where it leaves that to the other."""
    if not text:
        raise UsageError(Diagnostic("NS942", "one side is an empty text", help=("write a file, or `@VARIANT`",)))
    if match := _GIT.fullmatch(text):
        revision, rest = Revision(match[1]), match[2]
        file, variant = (rest, None) if "@" not in rest or revision.holds(rest) else _split(rest)
        return Reference(file, variant, revision=revision)
    if os.path.exists(text):
        return Reference(text)
    return Reference(*_split(text))


def _split(text: str) -> tuple[str, str | None]:
    file, at, variant = text.rpartition("@")
    return (file, variant) if at else (text, None)


def _completed(one: Reference, other: Reference) -> Reference:
    """A side that names no file is the other's."""
    if one.file:
        return one
    if one.revision is None:
        return replace(one, file=other.file, revision=other.revision)
    if other.revision is not None:
        return replace(one, file=other.file)
    found = shipped.find(other.file)
    path = Path(other.file if os.path.exists(other.file) or found is None else found)
    revision = replace(one.revision, folder=path.parent)
    return replace(one, file=f"./{path.name}", revision=revision)
