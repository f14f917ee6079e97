"""What a layout asks about a plan's nodes: their tensors, their place in a U-Net, the rule for their component."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import TypeVar

import torch

from netspec.plan import Node
from netspec.registry import Component
from netspec.tensors import TensorType
from netspec.weights.layouts.transforms import Shape

T = TypeVar("T")

_SPOT = re.compile(r"(down|mid|up)(?:_(\d+))?_(block|attn|transformer|downsample|upsample)(?:_(\d+))?")


@dataclass(frozen=True, slots=True)
class Spot:
    """A node's place in a U-Net, as its name says: `down_1_block_0` is (down, 1, block, 0)."""

    side: str
    level: int
    part: str
    index: int


def spot(node: Node, part: str = "") -> Spot | None:
    """The place in the U-Net; None for stem, head, embeddings and joins. `part` begins the names of a half's nodes."""
    found = _SPOT.fullmatch(node.name.removeprefix(f"{part}_"))
    return Spot(found[1], int(found[2] or 0), found[3], int(found[4] or 0)) if found else None


def rule(rules: Mapping[type[Component], T], node: Node) -> T | None:
    """The rule for the class of a node's component, or for the nearest class that it derives from."""
    return next((rules[cls] for cls in type(node.component).__mro__ if cls in rules), None)


def shapes_of(node: Node) -> Mapping[str, Shape]:
    """The node's tensors by their names below it."""
    return _shapes(node.component, node.types, node.out)


@lru_cache(maxsize=1024)  # the nodes of a network repeat a few kinds
def _shapes(component: Component, types: tuple[TensorType, ...], out: TensorType) -> Mapping[str, Shape]:
    with torch.device("meta"):
        module = component.build(*types, out=out)
    return MappingProxyType({key: tuple(tensor.shape) for key, tensor in module.state_dict().items()})
