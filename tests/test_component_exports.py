"""Every registered component as an ONNX graph: ONNX Runtime gives PyTorch's numbers, at sizes that the graph names."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from test_components import BUILT, SYMBOLS, module, symbolic_trial
from test_lowering import FLOAT32, compare, request_of
from torch import Tensor, fx, nn

from exporters.onnx.exporter import OnnxExporter
from exporters.onnx.runtime import run
from netspec.registry import Component
from netspec.target import Port
from netspec.tensors import TensorType


class Whole(nn.Module):
    """A network of one node."""

    def __init__(self, part: nn.Module) -> None:
        super().__init__()
        self.part = part


def network(part: nn.Module, count: int) -> fx.GraphModule:
    graph = fx.Graph()
    graph.output(graph.call_module("part", tuple(graph.placeholder(f"x{index}") for index in range(count))))
    return fx.GraphModule(Whole(part), graph).eval()


def port(name: str, kind: TensorType) -> Port:
    """Fixed sizes as numbers; what is made of several symbols, such as height*width/4, is a symbol of its own."""
    names = tuple(size.opt if size.values[0] == size.values[2] else str(size) for size in kind.shape)
    return Port(name, names, torch.int64 if kind.dtype == "int64" else torch.float32)


@pytest.mark.parametrize("cls", BUILT, ids=lambda cls: f"{cls.kind}-{cls.name}")
def test_exports(cls: type[Component], tmp_path: Path) -> None:
    torch.manual_seed(0)
    node = symbolic_trial(cls)
    built = module(node)
    with torch.no_grad():
        for parameter in built.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))  # nothing is 0 or 1
    whole = network(built, len(node.types))
    ports = [port(f"x{index}", kind) for index, kind in enumerate(node.types)]
    path: Path | None = None
    for index in (0, 2):
        at = {name: values[index] for name, values in SYMBOLS.items()}
        given = [drawn(kind, at) for kind in node.types]
        with torch.no_grad():
            expected = whole(*given)
        if path is None:
            (path,) = OnnxExporter().run(request_of(whole, ports, expected, tmp_path), tmp_path)
        compare(expected, run(path, {p.name: x.numpy() for p, x in zip(ports, given, strict=True)})["out"], FLOAT32)


def drawn(kind: TensorType, at: dict[str, int]) -> Tensor:
    """A tensor of one type, with these values for symbols."""
    shape = [int(size.evaluate(at)) for size in kind.shape]
    return torch.randint(0, 10, shape) if kind.dtype == "int64" else torch.randn(shape)
