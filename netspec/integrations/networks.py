"""A network behind one call, wherever it runs: a model in PyTorch, or a bundle's graphs on their own runtime."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, fx, nn

from netspec import api
from netspec.bundle import Manifest
from netspec.compiler import read_spec
from netspec.errors import Diagnostic, UnknownName, UsageError
from netspec.graph import Model
from netspec.plan import Plan
from netspec.precision import FLOATS
from netspec.target import Runner, find


class Network(nn.Module):
    """Runs the part of a network that one output needs. `plan` names and types the inputs."""

    plan: Plan

    @property
    @abstractmethod
    def dtype(self) -> torch.dtype:
        """Of weights and activations."""

    @property
    @abstractmethod
    def device(self) -> torch.device:
        """Where callers should keep their tensors."""

    def dtype_of(self, name: str) -> torch.dtype:
        """What an input is given as: times in float32 at least, and in float64 where the network is."""
        given = self.plan.inputs[name].dtype
        declared = getattr(torch, given) if given else self.dtype
        return torch.promote_types(declared, self.dtype) if declared.is_floating_point else declared

    @abstractmethod
    def run(self, inputs: Mapping[str, Tensor], output: str) -> Tensor:
        """One output; `inputs` are those that it needs, in the dtypes of `dtype_of`."""


class InTorch(Network):
    """A model, at inference. With several outputs, only what the wanted one needs is computed."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.plan = model.plan
        self.model = model.eval()
        self._parts: dict[str, fx.GraphModule] = {}

    @property
    def dtype(self) -> torch.dtype:
        return next(p.dtype for p in self.model.parameters())

    @property
    def device(self) -> torch.device:
        return next(p.device for p in self.model.parameters())

    def run(self, inputs: Mapping[str, Tensor], output: str) -> Tensor:
        if output not in self._parts:
            self._parts[output] = _part(self.model, output)
        part = self._parts[output]
        names = [node.name for node in part.graph.nodes if node.op == "placeholder"]
        return part(*(inputs[name] for name in names))  # type: ignore[no-any-return]  # a module's call is untyped


def _part(model: Model, output: str) -> fx.GraphModule:
    """What makes one output, over the model's own modules."""
    names = list(model.plan.outputs)
    if len(names) == 1:
        return model
    graph = fx.Graph()
    copied: dict[fx.Node, fx.Node] = {}
    made = graph.graph_copy(model.graph, copied)
    assert isinstance(made, tuple)
    graph.output(made[names.index(output)])
    for node in reversed(graph.nodes):
        if not node.users and node.op != "output":
            graph.erase_node(node)
    return fx.GraphModule(model, graph)


class InBundle(Network):
    """A bundle's graphs, run by their target's runtime. Numbers pass through host memory; `device` says where they
    come from and go to."""

    def __init__(self, folder: str | os.PathLike[str], target: str = "") -> None:
        super().__init__()
        self.folder = Path(folder)
        self.built = Manifest.read(folder).targets
        self.plan = api.lower(read_spec(folder))
        self.targets = {name: self.plan.spec.targets[name] for name in self.built if name == (target or name)}
        if not self.targets:
            message = f"{self.folder} has no target `{target}`" if target else f"{self.folder} has no graphs"
            raise UnknownName(Diagnostic("NS212", message, help=(f"targets: {', '.join(self.built) or 'none'}",)))
        self._device = torch.device("cpu")
        self._runners: dict[str, Runner] = {}

    @property
    def dtype(self) -> torch.dtype:
        first = next(iter(self.targets.values()))
        return FLOATS[find(first.exporter).precisions[first.precision.default]]

    @property
    def device(self) -> torch.device:
        return self._device

    def _apply(self, fn: object, recurse: bool = True) -> InBundle:
        """Follow `.to(device)` in name; a graph keeps its precision."""
        probe = fn(torch.empty(0, dtype=self.dtype))  # type: ignore[operator]  # nn.Module passes a function
        if probe.dtype != self.dtype:
            wanted = str(probe.dtype).removeprefix("torch.")
            raise UsageError(
                Diagnostic(
                    "NS933",
                    f"a bundle cannot become {wanted}",
                    help=("build a target of that `precision`, or leave the pipeline's dtype as it is",),
                )
            )
        self._device = probe.device
        return self

    def run(self, inputs: Mapping[str, Tensor], output: str) -> Tensor:
        # numpy has no bfloat16; whatever the graph declares, the runner casts to
        arrays = {
            name: (value.float() if value.dtype == torch.bfloat16 else value).detach().cpu().numpy()
            for name, value in inputs.items()
        }
        made = self._runner(output)(arrays)[output]
        return torch.from_numpy(made).to(self._device)

    def _runner(self, output: str) -> Runner:
        """What runs the first target that has the output."""
        name = next(name for name, target in self.targets.items() if not target.outputs or output in target.outputs)
        if name not in self._runners:
            target = self.targets[name]
            exporter = find(target.exporter)(**target.options)
            self._runners[name] = exporter.runner(self.folder / self.built[name].file)
        return self._runners[name]
