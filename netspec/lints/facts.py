"""What rules ask of a plan: what the network is for, how large its images are, what stands in its parts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

from netspec.attention import Heads, Scores
from netspec.blocks import Block
from netspec.errors import SpecPath
from netspec.families import Denoiser
from netspec.families.autoencoder import Autoencoder
from netspec.families.levels import Levelled
from netspec.families.unet import UNet
from netspec.plan import Node, Plan
from netspec.registry import Record, declared
from netspec.tensors import TensorType

SMALLEST = 32  # side of the smallest images that published denoisers make; advice on sizes begins there
R = TypeVar("R", bound=Record)


def side(type_: TensorType) -> int:
    """The shorter side of an image at `opt`."""
    return min(size.opt for size in type_.sizes)


def grid(type_: TensorType) -> str:
    """`64x64`: the sides of an image at `opt`."""
    return "x".join(str(size.opt) for size in type_.sizes)


def denoises(plan: Plan) -> bool:
    """Whether the network is told a timestep or the like. Without, it segments, restores or regresses."""
    return isinstance(plan.spec.family, Denoiser) and bool(plan.spec.conditioning)


def generates(plan: Plan) -> bool:
    """Whether images come out of it that nobody gave: by denoising, or by decoding a latent."""
    return denoises(plan) or isinstance(plan.spec.family, Autoencoder)


def pictured(plan: Plan) -> tuple[str, TensorType] | None:
    """The image that a denoiser works on, with its input's name; None where there is no advice for its size."""
    if not denoises(plan):
        return None
    for name in plan.spec.family.mains(plan.spec, plan.inputs)[:1]:
        type_ = plan.inputs.get(name)
        if type_ is not None and type_.layout == "image" and side(type_) >= SMALLEST:
            return name, type_
    return None


def denoising_unet(plan: Plan) -> tuple[UNet, TensorType] | None:
    """The U-Net and its image, likewise."""
    family, found = plan.spec.family, pictured(plan)
    return (family, found[1]) if isinstance(family, UNet) and found else None


@dataclass(frozen=True, slots=True)
class Row:
    """A level: where its width is chosen, the width, and the image on it."""

    path: SpecPath
    width: int
    image: TensorType


def rows(plan: Plan) -> list[Row]:
    """The levels of a network that has any, full resolution first."""
    family, found = plan.spec.family, dict[SpecPath, Row]()
    if not isinstance(family, Levelled):
        return []
    for node in plan:
        path = node.origin.path
        if isinstance(node.component, Block) and path[1:2] == ("levels",) and path not in found:
            level = family.levels[int(path[2])]
            field = "channels" if level.channels else "multiplier"
            found[path] = Row((*path, field), node.out.channels, node.out)
    return [found[path] for path in sorted(found, key=lambda path: int(path[2]))]


def scores(plan: Plan) -> Iterator[tuple[Node, Scores]]:
    """Every attention of the network, with the node that it is a part of."""
    for node in plan:
        if isinstance(node.component, Heads):
            for each in node.component.scores(*node.types):
                yield node, each


def attending(plan: Plan) -> list[Node]:
    """The nodes in which an image attends to itself."""
    found = {node.name: node for node, each in scores(plan) if each.own and node.out.layout == "image"}
    return list(found.values())


def holding(plan: Plan, kind: type[R]) -> Iterator[tuple[Node, str, R]]:
    """(node, field, record) for every record of one kind in the choices of a node's component."""
    inside: dict[int, list[tuple[str, R]]] = {}  # by identity: one component stands for many nodes
    for node in plan:
        if id(node.component) not in inside:
            inside[id(node.component)] = list(_holding(node.component, kind, ""))
        for field, record in inside[id(node.component)]:
            yield node, field, record


def _holding(owner: Record, kind: type[R], path: str) -> Iterator[tuple[str, R]]:
    for name in declared(type(owner)):
        value, where = getattr(owner, name), f"{path}.{name}" if path else name
        if isinstance(value, kind):
            yield where, value
        if isinstance(value, Record):
            yield from _holding(value, kind, where)
