"""check(): the warnings about a network, without those that its spec allows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from netspec.errors import Diagnostic, Source
from netspec.lints import allowances
from netspec.lints.allowances import Allowance
from netspec.lints.rule import Lint, rules
from netspec.plan import Plan
from netspec.planner.placing import diagnose


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the rules say about one network.

    warnings: what is not allowed, in file order.
    allowed: what is, each with the reason.
    given: everything that the spec allows.
    """

    warnings: tuple[Diagnostic, ...]
    allowed: tuple[tuple[Diagnostic, str], ...]
    given: tuple[Allowance, ...]

    @property
    def used(self) -> frozenset[tuple[str, int, int]]:
        """Where what is needed of that stands."""
        return frozenset(each.span.order for found, _ in self.allowed for each in self.given if each.covers(found))


def check(plan: Plan) -> list[Diagnostic]:
    """The warnings about a network, at their places in the spec, one for each cause."""
    return list(weigh(plan).warnings)


def weigh(plan: Plan, chosen: Iterable[Lint] | None = None) -> Verdict:
    """What the rules say about a network, those of the library at their own thresholds unless others are given."""
    given = allowances.allowances(plan.spec)
    warnings, allowed = list(allowances.faults(given)), []
    for rule in chosen if chosen is not None else (rule() for rule in rules().values()):
        for found in diagnose(plan.spec, rule.check(plan)):
            reason = next((each.reason for each in given if each.covers(found)), None)
            if reason is None:
                warnings.append(replace(found, level="warning"))
            else:
                allowed.append((replace(found, level="warning"), reason))
    return Verdict(tuple(sorted(warnings, key=_order)), tuple(allowed), tuple(given))


def _order(found: Diagnostic) -> tuple[tuple[str, int, int], str]:
    return found.span.order if found.span else ("", 0, 0), found.code


def unused(verdicts: Iterable[Verdict], source: Source) -> list[Diagnostic]:
    """Warnings for what a file allows and none of its networks needs: that of the file, and one for each variant."""
    weighed = list(verdicts)
    used = {order for verdict in weighed for order in verdict.used}
    given = {each.span.order: each for verdict in weighed for each in verdict.given}
    own = (each for order, each in given.items() if order not in used and each.span.source.name == source.name)
    return list(allowances.idle(own))
