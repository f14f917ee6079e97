"""`opt`, `min`, `max`, or `height=64,width=64`: the sizes that a network is timed at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches

from netspec.errors import Diagnostic, UsageError
from netspec.plan import Plan
from netspec.planner.points import multiples

POINTS = ("min", "opt", "max")
Sizes = Mapping[str, int]


def parse(plan: Plan, text: str) -> Sizes:
    """The size of every word of `dims`; those that the text does not name are at `opt`.

    Raises UsageError (NS721) for words that the network does not have, and sizes outside its ranges.
    """
    dims = plan.spec.dims
    if text in POINTS:
        return {name: getattr(dim, text) for name, dim in dims.items()}
    sizes = {name: dim.opt for name, dim in dims.items()}
    for part in text.split(","):
        name, _, number = part.partition("=")
        if name not in dims:
            raise _refused(f"`{part}` is no size of this network", *_meant(plan, name))
        if not number.isdecimal():
            raise _refused(f"`{part}` gives no whole number", f"write `{name}={dims[name].opt}`")
        sizes[name] = int(number)
    if found := next(_unfit(plan, sizes), None):
        raise found
    return sizes


def _meant(plan: Plan, name: str) -> Iterator[str]:
    known = (*POINTS, *plan.spec.dims)
    if close := get_close_matches(name, known, n=1):
        yield f"did you mean `{close[0]}`?"
    words = " and ".join(f"`{word}=NUMBER`" for word in plan.spec.dims)
    yield "a size is `min`, `opt` or `max`" + (f", or has {words}" if words else "")


def _unfit(plan: Plan, sizes: Sizes) -> Iterator[UsageError]:
    steps = multiples(plan)
    for name, size in sizes.items():
        dim = plan.spec.dims[name]
        if not dim.min <= size <= dim.max:
            yield _refused(f"{name} {size} is outside the network's range", f"`{name}` is {dim.min} to {dim.max}")
        if size % steps[name]:
            yield _refused(f"{name} {size} does not divide", f"`{name}` has to be a multiple of {steps[name]}")


def _refused(message: str, *help: str) -> UsageError:
    return UsageError(Diagnostic("NS721", message, help=help))


def words(sizes: Sizes) -> str:
    """Sizes in words: `batch 1, height 64`."""
    return ", ".join(f"{name} {size}" for name, size in sizes.items()) or "fixed sizes"
