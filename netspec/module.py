"""The `nn.Module` of a component: its parts, and the component's own `forward` over them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, TypeAlias

import torch
from torch import Tensor, nn

from netspec import ops
from netspec.tensors import TensorType

if TYPE_CHECKING:
    from netspec.registry import Component

Part: TypeAlias = nn.Module | nn.Parameter | Tensor
Parts: TypeAlias = Any  # a Module seen from `forward`: attributes are the parts that `assemble` was given


class Module(nn.Module):
    """Calls `component.forward(self, *inputs)`: a component stays one file, and that file needs no torch to be read."""

    def __init__(self, component: Component, parts: Mapping[str, Part]) -> None:
        super().__init__()
        self.component = component
        for name, part in parts.items():
            match part:
                case nn.Module():
                    self.add_module(name, part)
                case nn.Parameter():
                    self.register_parameter(name, part)
                case Tensor():
                    self.register_buffer(name, part)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Module:
        """Moves and casts as ever, but keeps what the component calls exact in float32 at least."""
        before = {name: self._buffers[name] for name in self.component.exact}
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]  # torch has not typed it
        for name, buffer in before.items():
            moved = self._buffers[name]
            if buffer is not None and moved is not None and moved.dtype in (torch.float16, torch.bfloat16):
                self._buffers[name] = buffer.to(device=moved.device)
        return self

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.component.forward(self, *inputs)  # type: ignore[attr-defined, no-any-return]  # each kind's own


@cache
def _class(name: str) -> type[Module]:
    return type(name, (Module,), {"__doc__": Module.__doc__})


def assemble(component: Component, parts: Mapping[str, Part] | None = None, /, **named: Part) -> Module:
    """A module named after the component: submodules, parameters and (persistent) buffers by name.

    Buffers that the component calls `exact` stay in float32 when the module is cast.
    """
    return _class(type(component).__name__)(component, {**(parts or {}), **named})


class Nearest(nn.Module):
    """Doubles an image's size by repeating pixels."""

    def forward(self, x: Tensor) -> Tensor:
        return ops.upsample_nearest(x, 2)


class ChannelsLast(nn.Module):
    """Applies a norm of the last axis to the channels of an image (N, C, H, W)."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x.movedim(1, -1)).movedim(-1, 1)  # type: ignore[no-any-return]  # a module's call is untyped


def channels_last(norm: nn.Module, x: TensorType) -> nn.Module:
    """`norm` as it is for tokens, between two transpositions for images."""
    return ChannelsLast(norm) if x.layout == "image" else norm


def zeroed(layer: nn.Module, enabled: bool = True) -> nn.Module:
    """The layer with every parameter zero, so that a residual branch starts as nothing."""
    if enabled:
        with torch.no_grad():
            for parameter in layer.parameters():
                parameter.zero_()
    return layer


def normal_linear(layer: nn.Linear, std: float | None) -> nn.Linear:
    """The layer with normal weights and a zero bias; `None` leaves PyTorch's initialisation."""
    if std is not None:
        nn.init.normal_(layer.weight, std=std)
        nn.init.zeros_(layer.bias)
    return layer


def normal_table(rows: int, width: int, std: float) -> nn.Embedding:
    """A table of `rows` normal vectors."""
    table = nn.Embedding(rows, width)
    nn.init.normal_(table.weight, std=std)
    return table


def xavier_linear(layer: nn.Linear, fused: int = 1) -> nn.Linear:
    """Glorot & Bengio 2010, Eq. 16, with a zero bias. `fused` is how many such layers the published network stacks
    into one matrix, which counts their outputs together."""
    nn.init.xavier_uniform_(layer.weight, gain=(2 / (1 + fused)) ** 0.5)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer
