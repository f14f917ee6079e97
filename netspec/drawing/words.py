"""What nodes are called in a picture: `2 × (ResNet + Transformer ×1) ↓ conv`."""

from __future__ import annotations

from collections.abc import Sequence

from netspec.attention import Transformer
from netspec.plan import Node
from netspec.resample import Downsample, Upsample
from netspec.tensors import TensorType
from netspec.wiring.tied import TiedTransposedConv

_LONGEST_UNIT = 6  # nodes that repeat together


def label(node: Node) -> str:
    """One node, a stack with its depth, a change of resolution with its direction."""
    component = node.component
    word = named(node)
    if way := turn(node):
        return f"{way} {word}".replace(" ", "\u00a0")  # an arrow stays with its word
    if isinstance(component, Transformer):
        return f"{word} ×{component.depth}"
    return word[:1].upper() + word[1:]


def turn(node: Node) -> str:
    """`↓` or `↑` where it changes the resolution, "" elsewhere."""
    match node.component:
        case Downsample():
            return "↓"
        case Upsample() | TiedTransposedConv():
            return "↑"
        case _:
            return ""


def named(node: Node) -> str:
    """What its component says it is called, else its name in words."""
    return node.component.label or node.component.name.replace("_", " ")


def told(nodes: Sequence[Node]) -> str:
    """Several nodes in order, with what repeats said once. Joins and sums go unsaid beside what has weights."""
    telling = [node for node in nodes if not plumbing(node)] or nodes
    changes = [label(node) for node in telling if turn(node)]
    parts = [_counted(unit, count) for unit, count in _folded([label(node) for node in telling if not turn(node)])]
    return " ".join([" + ".join(parts), *changes]).strip()


def plumbing(node: Node) -> bool:
    """Whether a node only brings tensors together: it has no numbers and does no arithmetic worth counting."""
    cost = node.cost
    bare = node.component.kind == "wiring" and node.component.role == "other"
    return bare and not (cost.params or cost.frozen or cost.macs)


def size(type_: TensorType) -> str:
    """Sizes of one sample at `opt`: `320 × 64 × 64`, `256 tokens × 1152`."""
    match type_.layout:
        case "image":
            return " × ".join(str(n) for n in (type_.channels, *(size.opt for size in type_.sizes)))
        case "tokens":
            return f"{_tokens(type_.sizes[0].opt)} × {type_.channels}"
        case "mask":
            return _tokens(type_.sizes[0].opt)
        case "weight":
            return " × ".join(str(size) for size in type_.shape)
        case "vector":
            return str(type_.channels)
        case "index":
            return ""


def _tokens(count: int) -> str:
    return f"{count} token{'s' * (count != 1)}"


def _counted(unit: Sequence[str], count: int) -> str:
    text = " + ".join(unit)
    if count == 1:
        return text
    return f"{count} × {text}" if len(unit) == 1 else f"{count} × ({text})"


def _folded(names: Sequence[str]) -> list[tuple[tuple[str, ...], int]]:
    """The names as units that repeat: at each place the unit that covers most, the shortest of equals."""
    found: list[tuple[tuple[str, ...], int]] = []
    start = 0
    while start < len(names):
        length, count = max(
            ((length, _repeats(names, start, length)) for length in range(1, _LONGEST_UNIT + 1)),
            key=lambda unit: (unit[0] * unit[1] if unit[1] > 1 else 1, -unit[0]),
        )
        if count == 1:
            length = 1
        found.append((tuple(names[start : start + length]), count))
        start += length * count
    return found


def _repeats(names: Sequence[str], start: int, length: int) -> int:
    """How often the unit of some length that begins at a place follows itself."""
    unit, count = names[start : start + length], 1
    while len(unit) == length and names[start + count * length : start + (count + 1) * length] == unit:
        count += 1
    return count
