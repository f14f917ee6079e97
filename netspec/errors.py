"""What can go wrong, as data.

    NetspecError                  .diagnostics  .exit_code
    ├─ SpecError           1      the YAML is wrong; every violation at once, in file order
    │  ├─ DocumentError   NS0xx   not YAML, duplicate key, tag, alias, too deep, too big
    │  ├─ SchemaError     NS1xx   unknown key, wrong type, out of range
    │  ├─ UnknownName     NS2xx   unknown component, input, variant or path; broken extends
    │  ├─ ShapeError      NS3xx   heads, groups, divisibility, size ranges, skip mismatch
    │  └─ ExpectationError NS4xx  `expect:` does not hold
    ├─ ExportError         1 NS5xx   the target cannot express it
    ├─ WeightsError        1 NS6xx   a file of weights does not fit
    ├─ ForeignError        1 NS64x   another program's network cannot be said here, or ours not there
    ├─ ParityError         1 NS7xx   two backends disagree
    ├─ UsageError          2         the command line is wrong
    ├─ RegistrationError     NS9xx   a plugin author's mistake, raised at import
    └─ InvariantError     70         our bug

A `Diagnostic` says what, where and what to do; `render.py` alone formats it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar, Literal, TypeAlias

SpecPath: TypeAlias = tuple[str | int, ...]


@dataclass(frozen=True, eq=False)
class Source:
    """A text that spans point into: a file as the user named it, or the `--set` arguments, one a line."""

    name: str
    text: str = field(repr=False)

    @cached_property
    def lines(self) -> list[str]:
        return self.text.splitlines()


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of one source. Lines and columns count from 1; the end column is exclusive."""

    source: Source
    line: int
    column: int
    end_line: int
    end_column: int

    @property
    def order(self) -> tuple[str, int, int]:
        return (self.source.name, self.line, self.column)


@dataclass(frozen=True, slots=True)
class Label:
    """A second place that takes part in an error, with the words to put beside its underline."""

    span: Span
    text: str


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One finding: `message` in the user's words, `label` beside the caret, `notes` with the computation,
    `help` with what to type. `path` is the place in the spec (`unet.levels[2].channels`)."""

    code: str
    message: str
    span: Span | None = None
    label: str = ""
    labels: tuple[Label, ...] = ()
    notes: tuple[str, ...] = ()
    help: tuple[str, ...] = ()
    path: str = ""
    level: Literal["error", "warning"] = "error"


class NetspecError(Exception):
    """Any failure that netspec explains itself."""

    exit_code: ClassVar[int] = 1
    diagnostics: tuple[Diagnostic, ...]

    def __init__(self, *diagnostics: Diagnostic) -> None:
        self.diagnostics = diagnostics
        super().__init__("\n".join(f"[{d.code}] {d.message}" + _where(d) for d in diagnostics))


class SpecError(NetspecError):
    """The spec is wrong. Holds every violation that one stage found."""


class DocumentError(SpecError):
    """The file is not a netspec document: not YAML, or YAML beyond plain data."""


class SchemaError(SpecError):
    """The document does not follow the published schema."""


class UnknownName(SpecError):
    """A name refers to nothing: component, input, variant, path or extended file."""


class ShapeError(SpecError):
    """The network's sizes do not work out."""


class ExpectationError(SpecError):
    """The network is well formed but is not what `expect:` says."""


class ExportError(NetspecError):
    """A target cannot express the network."""


class WeightsError(NetspecError):
    """A file of weights is broken or belongs to another network."""


class ForeignError(NetspecError):
    """Another program's description of a network and ours cannot be translated into each other."""


class ParityError(NetspecError):
    """Two backends give different numbers for one network."""


class UsageError(NetspecError):
    """The command line asks for something impossible."""

    exit_code = 2


class RegistrationError(NetspecError):
    """A component is declared wrongly; raised while its module is imported."""


class InvariantError(NetspecError):
    """A state that netspec promises never to reach: a bug of ours."""

    exit_code = 70


_BY_CODE: dict[str, type[NetspecError]] = {
    "NS0": DocumentError,
    "NS1": SchemaError,
    "NS2": UnknownName,
    "NS3": ShapeError,
    "NS4": ExpectationError,
    "NS5": ExportError,
    "NS6": WeightsError,
    "NS7": ParityError,
}


def raise_all(diagnostics: Iterable[Diagnostic]) -> None:
    """Raise every diagnostic at once, in file order; do nothing when there is none.

    The class is the one of the first code, so a caller may catch `ShapeError` and still see all that was found.
    """
    found: Sequence[Diagnostic] = sorted(diagnostics, key=_order)
    if found:
        raise _BY_CODE[found[0].code[:3]](*found)


def _order(diagnostic: Diagnostic) -> tuple[bool, tuple[str, int, int]]:
    span = diagnostic.span
    return (span is None, span.order if span else ("", 0, 0))


def _where(diagnostic: Diagnostic) -> str:
    span = diagnostic.span
    return f" ({span.source.name}:{span.line}:{span.column})" if span else ""


def path_text(path: SpecPath) -> str:
    """`("unet", "levels", 2, "channels")` as `unet.levels[2].channels`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text
