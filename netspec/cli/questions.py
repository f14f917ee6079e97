"""What `netspec new` asks on a terminal when nothing is said: a few questions, each with a default."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import typer

from netspec.errors import UsageError

if TYPE_CHECKING:
    from netspec.guide.wish import Wish

T = TypeVar("T")
SIDES = (8, 2048)  # of images, least and most
CLASSES = (1, 1_000_000)


def possible() -> bool:
    """Whether somebody is there to answer."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def ask(wish: Wish) -> Wish:
    """The wish as somebody answers."""
    from netspec.guide import FAMILIES
    from netspec.guide.rules.targets import TARGETS
    from netspec.guide.wish import budget, in_words

    wish = replace(wish, family=_choice("Kind of network", FAMILIES, wish.family))
    wish = replace(wish, image=_prompt("Side of the images in pixels", wish.image, _within(*SIDES)))
    if wish.family != "autoencoder":
        space = _choice("The network works on", ("pixels", "latents"), "latents" if wish.in_latents else "pixels")
        wish = _guided(replace(wish, latent=space == "latents"))
    wish = replace(wish, budget=_prompt("Parameters at most", in_words(wish.budget), budget))
    return replace(wish, target=_choice("Where it will run", TARGETS, wish.target or next(iter(TARGETS))))


def _guided(wish: Wish) -> Wish:
    """Guided by what."""
    if wish.family == "mmdit":
        return replace(wish, text=True)
    guide = _choice("Guided by", ("nothing", "class", "text"), "nothing")
    if guide == "class":
        return replace(wish, classes=_prompt("How many classes", 10, _within(*CLASSES)))
    return replace(wish, text=guide == "text")


def _choice(question: str, words: Iterable[str], default: str) -> str:
    known = tuple(words)

    def one(answer: str) -> str:
        if answer not in known:
            raise typer.BadParameter(f"{answer} is none of {', '.join(known)}")
        return answer

    return _prompt(f"{question} ({', '.join(known)})", default, one)


def _within(least: int, most: int) -> Callable[[str], int]:
    """What reads a number of a range."""

    def number(answer: str) -> int:
        if not (answer.isascii() and answer.isdigit() and len(answer) < 10 and least <= int(answer) <= most):
            raise typer.BadParameter(f"{answer} is no whole number from {least} to {most}")
        return int(answer)

    return number


def _prompt(question: str, default: object, parse: Callable[[str], T]) -> T:
    """Ask until the answer can be read."""

    def read(answer: Any) -> T:
        try:
            return parse(str(answer))
        except UsageError as error:
            raise typer.BadParameter(error.diagnostics[0].message) from error

    answer: T = typer.prompt(question, default=default, value_proc=read)
    return answer
