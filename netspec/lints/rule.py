"""The base class of rules, and the list of them."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import types
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, ClassVar, TypeAlias

from netspec.builder import Placed
from netspec.errors import Diagnostic, RegistrationError, SpecPath
from netspec.plan import Node, Plan
from netspec.problems import Problem
from netspec.registry import Record

Finding: TypeAlias = Placed  # a problem at a place of the spec

HEADINGS = ("What it does", "Why it matters", "Example", "When to ignore")
_HOW = "Say so in the spec: `# netspec: allow {code}: reason` on the line, or `lints: {{allow: {{{code}: reason}}}}`."
_RULES: dict[str, type[Lint]] = {}


class Lint(Record):
    """One rule. A subclass with a `code` joins the list; its docstring is a title, a blank line, and the page.

    Raises RegistrationError (NS907) for a code that another rule has.
    """

    code: ClassVar[str] = ""

    def __init_subclass__(cls, *, code: str = "") -> None:
        super().__init_subclass__()
        if code:
            cls.code = code
            _register(cls)

    @abstractmethod
    def check(self, plan: Plan) -> Iterator[Finding]:
        """Everything that this rule has to say about a network."""

    @classmethod
    def title(cls) -> str:
        """What the rule finds, in a few words."""
        first = (cls.__doc__ or "").partition("\n")[0].strip().rstrip(".")
        return first[:1].lower() + first[1:]

    @classmethod
    def page(cls) -> str:
        """The rule explained, as Markdown."""
        _, _, body = (inspect.getdoc(cls) or "").partition("\n")
        return f"# {cls.code}: {cls.title()}\n\n{body.strip()}\n\n{_HOW.format(code=cls.code)}\n"

    def at(self, path: SpecPath, message: str, **words: Any) -> Finding:
        """A finding about a choice at a path of the spec. `words` are those of a Problem."""
        return Placed(Problem(self.code, message, **words), path, None)

    def on(self, node: Node, message: str, **words: Any) -> Finding:
        """A finding about a node: about its component, or `field` of that."""
        return Placed(Problem(self.code, message, **words), node.origin.at, node.origin.path)


def _register(rule: type[Lint]) -> None:
    if (owner := _RULES.get(rule.code)) is not None:
        notes = tuple(f"{each.__module__}.{each.__qualname__}" for each in (owner, rule))
        raise RegistrationError(Diagnostic("NS907", f"two rules have the code {rule.code}", notes=notes))
    _RULES[rule.code] = rule


@cache
def _load() -> None:
    package = importlib.import_module(__package__ or "")
    for _, name, _ in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{name}")


def rules() -> Mapping[str, type[Lint]]:
    """Every rule by its code, in the order of codes."""
    _load()
    return types.MappingProxyType(dict(sorted(_RULES.items())))
