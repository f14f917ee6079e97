"""assign(): what each part of a network computes in, by its role, and as the spec's target says otherwise.

The network itself stays in float32; a precision plan is what an exporter follows when it writes the network for a
target. Every module has a role: what its component says (`role`, `roles`), else what kind of layer it is.

| role | what it is | in half precisions | in few bits |
|---|---|---|---|
| embedding, position | timesteps, labels, places: a few numbers that everything hangs on | fp32 | fp32 |
| head | last norm and layer, whose rounding errors nothing follows to average | fp32 | fp32 |
| modulation | projections of the conditioning vector | fp32 where they are few | likewise |
| linear, conv, other | the bulk | the target's | 8 bits, or 4 (linear); what lies between in the target's float |
| stem, shortcut, norm | first layer, residual projections, norms | the target's | the target's float |

The statistics of norms and the softmax are float32 in every half precision: their lowerings see to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import nn

from netspec.graph import Model
from netspec.module import Module
from netspec.plan import Node
from netspec.roles import FEW_BITS, QUANTISABLE_ROLES, Role, by_role, matches
from netspec.spec import Precision

FLOATS: Mapping[str, torch.dtype] = MappingProxyType(
    {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
)

_NORMS = (nn.GroupNorm, nn.LayerNorm, nn.RMSNorm, nn.InstanceNorm2d, nn.BatchNorm2d)
_BY_TYPE: tuple[tuple[type[nn.Module] | tuple[type[nn.Module], ...], Role], ...] = (
    ((nn.Conv2d, nn.ConvTranspose2d), "conv"),
    (nn.Linear, "linear"),
    (nn.Embedding, "embedding"),
    (_NORMS, "norm"),
)


@dataclass(frozen=True, slots=True)
class Part:
    """One module of a network and what it computes in: `fp32`, `fp16`, `bf16`, `int8`, `fp8` or `int4`, and why."""

    path: str
    role: Role
    dtype: str
    why: str
    weights: int  # numbers that the module itself holds


@dataclass(frozen=True)
class PrecisionPlan:
    """What each module of one network computes in, for one target.

    name: the target's precision, such as `fp16` or `int8`.
    base: the float of inputs, outputs, and of what lies between quantised layers.
    parts: every module by its dotted path.
    exact: what half precision would spoil, by key: tables of positions, the variances that batch norms have seen.
    """

    name: str
    base: str
    parts: Mapping[str, Part]
    exact: frozenset[str] = frozenset()

    def at(self, path: str) -> str:
        """The precision at a module's path; inside something that is no module, of what holds it."""
        while path not in self.parts:
            path = path.rpartition(".")[0]
        return self.parts[path].dtype

    def float_at(self, path: str) -> torch.dtype:
        """The float type at a module's path: what a quantised layer's inputs and outputs are."""
        found = self.at(path)
        return FLOATS[self.base if found in FEW_BITS else found]

    def stored(self, key: str, tensor: torch.Tensor) -> torch.dtype:
        """The type in which a parameter or buffer is stored, quantised ones before quantisation."""
        if not tensor.is_floating_point():
            return tensor.dtype
        return torch.float32 if key in self.exact else self.float_at(key.rpartition(".")[0])

    @property
    def uses(self) -> frozenset[str]:
        """Every precision that some part has."""
        return frozenset(part.dtype for part in self.parts.values()) | {self.base}

    @property
    def quantised(self) -> tuple[str, ...]:
        """Paths of the layers in few bits."""
        return tuple(path for path, part in self.parts.items() if part.dtype in FEW_BITS)

    def rows(self) -> Iterator[tuple[Role, str, int, int, str]]:
        """The plan as a table: role, precision, layers with weights, weights, why; the bulk first."""
        groups: dict[tuple[Role, str, str], tuple[int, int]] = {}
        for part in self.parts.values():
            if part.weights:
                layers, weights = groups.get((part.role, part.dtype, part.why), (0, 0))
                groups[part.role, part.dtype, part.why] = layers + 1, weights + part.weights
        for (role, dtype, why), (layers, weights) in sorted(groups.items(), key=lambda item: -item[1][1]):
            yield role, dtype, layers, weights, why


def assign(model: Model, wanted: Precision, base: str) -> PrecisionPlan:
    """The precision plan of a network, which may be on `meta`; `base` is the float type of the target.

    Patterns that match nothing are no error here: `unmatched` finds them.
    """
    modules = dict(model.named_modules(remove_duplicate=False))
    roles = _roles(model, modules)
    weights = {path: _numbers(module) for path, module in modules.items()}
    total = sum(weights.values())
    share = sum(count for path, count in weights.items() if roles[path] == "modulation") / max(total, 1)
    parts: dict[str, Part] = {}
    for path in modules:
        dtype, why = by_role(roles[path], wanted.default, base, share)
        for override, patterns in wanted.overrides.items():
            found = next((p for p in patterns if path and matches(p, path)), None)
            if found is not None and (override not in FEW_BITS or roles[path] in QUANTISABLE_ROLES):
                dtype, why = override, f"the spec: {found}"
        parts[path] = Part(path, roles[path], dtype, why, weights[path])
    exact = frozenset(f"{path}.{name}" for path, module in modules.items() for name in _exact(module))
    return PrecisionPlan(wanted.default, base, MappingProxyType(parts), exact)


def unmatched(model: nn.Module, wanted: Precision) -> list[tuple[str, str]]:
    """(precision, pattern) of the patterns that name no part of the network."""
    paths = [path for path, _ in model.named_modules(remove_duplicate=False) if path]
    return [
        (dtype, pattern)
        for dtype, patterns in wanted.overrides.items()
        for pattern in patterns
        if not any(matches(pattern, path) for path in paths)
    ]


def _exact(module: nn.Module) -> Iterable[str]:
    """What a module holds that stays in float32. A batch norm is one affine map, which its numbers make together."""
    if isinstance(module, nn.BatchNorm2d):
        return module.state_dict()
    return module.component.exact if isinstance(module, Module) else ()


def _roles(model: Model, modules: Mapping[str, nn.Module]) -> dict[str, Role]:
    """Every module's role: from outside in, the first that a component states; else that of its kind of layer."""
    stated: dict[str, Role] = {"": "other"}
    found: dict[str, Role] = {"": "other"}
    nodes = {node.name: _of_node(node) for node in model.plan}  # a component may build a bare layer
    for path, module in modules.items():
        if not path:
            continue
        parent, _, name = path.rpartition(".")
        outer, holder = stated[parent], modules[parent]
        own: Role = "other"
        if isinstance(holder, Module):
            own = holder.component.roles.get(name, own)
        if own == "other" and isinstance(module, Module):
            own = module.component.role
        if own == "other":
            own = nodes.get(path, own)
        stated[path] = outer if outer != "other" else own
        kinds: list[Role] = [role for types, role in _BY_TYPE if isinstance(module, types)]
        found[path] = stated[path] if stated[path] != "other" or not kinds else kinds[0]
    return found


def _of_node(node: Node) -> Role:
    """What a node's component says; what makes a vector of conditioning ones embeds it."""
    if node.component.role == "other" and node.out.layout == "vector":
        return "embedding"
    return node.component.role


def _numbers(module: nn.Module) -> int:
    return sum(tensor.numel() for tensor in module.parameters(recurse=False))
