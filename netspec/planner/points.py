"""The sizes and timesteps at which a network is tried: min, opt, max and an odd size inside the range."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from math import lcm
from types import MappingProxyType

from netspec.document import Document
from netspec.errors import SpecPath
from netspec.plan import Plan
from netspec.planner import lower
from netspec.spec import Dim, Expect, Spec

Env = Mapping[str, int]


@dataclass(frozen=True)
class Point:
    """One setting of every symbolic size, and what the network costs there."""

    name: str
    sizes: Env
    macs: int
    elements: int  # numbers alive at once between nodes


def points(plan: Plan) -> list[Point]:
    """min, opt, max and odd, each once; a network without symbolic sizes has one point."""
    found: dict[tuple[int, ...], Point] = {}
    for name, env in _settings(plan):
        if tuple(env.values()) not in found:
            there = fixed(plan, env)
            found[tuple(env.values())] = Point(name, env, there.cost.macs, there.peak_elements)
    return list(found.values())


def fixed(plan: Plan, sizes: Env) -> Plan:
    """The same network, or part of one, at fixed sizes."""
    return lower(pinned(plan.spec, sizes)).only(list(plan.outputs))


def _settings(plan: Plan) -> Iterator[tuple[str, Env]]:
    words = {word for type_ in plan.inputs.values() for size in type_.shape for word in size.words}
    dims = {name: dim for name, dim in plan.spec.dims.items() if name in words}  # those of a part, where it is one
    yield "min", {name: dim.min for name, dim in dims.items()}
    yield "opt", {name: dim.opt for name, dim in dims.items()}
    yield "max", {name: dim.max for name, dim in dims.items()}
    steps = multiples(plan)
    yield "odd", {name: _odd(dim, steps.get(name, 1), index) for index, (name, dim) in enumerate(dims.items())}


def _odd(dim: Dim, step: int, index: int) -> int:
    """A size that is an odd multiple of its step, inside the range and, where there is room, none of its points.
    Every second dim takes the next such size, so that an image is not square."""
    inside = range(dim.min, dim.max + 1, step)[:4096]  # a range may be hostile; a slice of one costs nothing
    odd = [size for size in inside if (size // step) % 2 and size not in (dim.min, dim.opt, dim.max)]
    choices = odd or [size for size in inside if size != dim.opt] or [dim.opt]
    return choices[index % 2 if len(choices) > 1 else 0]


def multiples(plan: Plan) -> dict[str, int]:
    """What each symbolic size must be a multiple of for every node's size to be whole."""
    steps = dict.fromkeys(plan.spec.dims, 1)
    for node in plan:
        for size in node.out.sizes:
            if size.linear is not None:
                word, factor = size.linear
                steps[word] = lcm(steps[word], factor.denominator)
    return steps


def pinned(spec: Spec, env: Env) -> Spec:
    """The spec with these symbolic sizes fixed. What it expects of itself no longer applies."""
    return _sized(spec, {**spec.dims, **{name: Dim(size, size, size) for name, size in env.items()}}, spec.document)


def narrowed(spec: Spec, target: str) -> Spec:
    """The spec at the sizes of one of its targets; what is wrong with those is told where the target states them."""
    dims = spec.targets[target].dims
    document = spec.document
    if document is not None:
        own: SpecPath = ("targets", target, "dims")
        moved = {path[2:]: place for path, place in document.places.items() if path[:3] == own}
        replaced = {("dims", word) for word in dims}
        kept = {path: place for path, place in document.places.items() if path[:2] not in replaced}
        document = replace(document, places=kept | moved)
    return _sized(spec, {**spec.dims, **dims}, document)


def _sized(spec: Spec, dims: Mapping[str, Dim], document: Document | None) -> Spec:
    return replace(spec, dims=MappingProxyType(dict(dims)), expect=Expect(), document=document)
