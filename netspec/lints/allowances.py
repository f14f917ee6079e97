"""What a spec allows: `# netspec: allow NS801: reason` beside what is meant so, or `lints: {allow: …}` for all."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches

from netspec.document.comments import allows
from netspec.errors import Diagnostic, Span
from netspec.lints.rule import rules
from netspec.spec import Spec


@dataclass(frozen=True, slots=True)
class Allowance:
    """One code that is allowed, and where: on one line of a file, or, without a line, anywhere."""

    code: str
    reason: str
    span: Span
    line: int | None

    def covers(self, found: Diagnostic) -> bool:
        """Whether it allows a finding."""
        if self.code != found.code:
            return False
        if self.line is None:
            return True
        place = found.span
        return place is not None and (place.source.name, place.line) == (self.span.source.name, self.line)


def allowances(spec: Spec) -> list[Allowance]:
    """Everything that a spec and the files that it extends allow."""
    document = spec.document
    if document is None:
        return []
    found = []
    for code, reason in document.data.get("lints", {}).get("allow", {}).items():
        place = document.places["lints", "allow", code]
        found.append(Allowance(code, reason.strip(), place.key or place.value, None))
    return found + [Allowance(each.code, each.reason, each.span, each.about) for each in allows(document)]


def faults(given: Iterable[Allowance]) -> Iterator[Diagnostic]:
    """NS890 for what is allowed without a reason, NS891 for what no rule is called."""
    known = rules()
    for each in given:
        if each.code not in known:
            message = f"`{each.code}` is not a lint" if each.code else "no lint is named"
            yield _warning("NS891", message, each, _meant(each.code))
        elif not each.reason:
            message = f"{each.code} is allowed without a reason"
            how = f"`# netspec: allow {each.code}: reason`, or `lints: {{allow: {{{each.code}: reason}}}}`"
            yield _warning("NS890", message, each, "why?", help=(f"say why: {how}",))


def _meant(code: str) -> str:
    if re.fullmatch(r"NS[0-79]\d\d", code):
        return "an error cannot be allowed"
    close = get_close_matches(code.upper(), rules(), n=1)
    return f"did you mean {close[0]}?" if close else "no rule has this code"


def idle(given: Iterable[Allowance]) -> Iterator[Diagnostic]:
    """NS892 for what is allowed and does not come up."""
    known = rules()
    for each in given:
        if each.code in known:
            where = "" if each.line is None else " on this line"
            message = f"{each.code} is allowed, and does not come up{where}"
            yield _warning("NS892", message, each, "allows nothing", help=("take it out",))


def _warning(code: str, message: str, each: Allowance, label: str, help: tuple[str, ...] = ()) -> Diagnostic:
    return Diagnostic(code, message, each.span, label, help=help, path="lints.allow", level="warning")
