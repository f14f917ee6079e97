"""Lints: what is valid and still looks unintended, from the literature, told as warnings before anything is built.

A rule is a class in a file of its own beside this one, called after what it finds. Its docstring is its page: a title,
then what it does, why it matters and who says so, an example, and when to ignore it. Its fields are its thresholds.

    rule.py          Lint, the base class, which registers by being subclassed
    facts.py         what rules ask of a plan
    allowances.py    what a spec allows, in comments and under `lints`
    verdict.py       check(): the findings that a spec does not allow
    checkerboard.py  and every other file: one rule
"""

from netspec.lints.rule import Finding, Lint, rules
from netspec.lints.verdict import Verdict, check, unused, weigh

__all__ = ["Finding", "Lint", "Verdict", "check", "rules", "unused", "weigh"]
