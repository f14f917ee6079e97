"""build(): Plan → GraphModule, straight-line code with one line per node and ordinary modules inside."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import fx, nn
from torch.utils.checkpoint import checkpoint as recompute

from netspec.errors import Diagnostic, UnknownName
from netspec.plan import Node, Plan
from netspec.spec import Spec


class Model(fx.GraphModule):
    """A compiled network: an ordinary PyTorch module whose `code` reads like the plan."""

    @property
    def spec(self) -> Spec:
        """The spec that this network was built from."""
        return self.plan.spec

    @property
    def plan(self) -> Plan:
        """The plan that this network was built from."""
        return self.meta["plan"]  # type: ignore[no-any-return]  # set by build()


def build(
    plan: Plan,
    *,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    seed: int = 0,
    checkpoint: bool | Collection[str] = False,
) -> Model:
    """The network of a plan, freshly initialised.

    Args:
        device: where parameters live; `meta` allocates nothing.
        dtype: of parameters and buffers. Norms, softmax and the timestep's angles compute in float32 at least.
        seed: of the initial weights. Each node draws from its own stream, so a node's weights do not depend on others.
        checkpoint: gradient checkpointing: all nodes, or those named; their activations are recomputed in backward.

    Raises UnknownName where `checkpoint` names no node.
    """
    again = _checkpointed(plan, checkpoint)
    root = nn.Module()
    graph = fx.Graph()
    values: dict[str, fx.Node] = {name: graph.placeholder(name) for name in plan.inputs}
    for node in plan:
        root.add_module(node.name, build_node(node, seed=seed, device=device, dtype=dtype))
        inputs = tuple(
            graph.get_attr(value.name) if value.type.layout == "weight" else values[value.name] for value in node.inputs
        )
        if node.name in again:
            module = graph.get_attr(node.name)
            call = graph.call_function(recompute, (module, *inputs), {"use_reentrant": False})
        else:
            call = graph.call_module(node.name, inputs)
        values[node.name] = call
        call.meta["origin"] = str(node.origin)
    made = [values[value.name] for value in plan.outputs.values()]
    graph.output(made[0] if len(made) == 1 else tuple(made))
    model = Model(root, graph, class_name=_class_name(plan))
    model.meta["plan"] = plan
    return model


def build_node(
    node: Node, *, seed: int = 0, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32
) -> nn.Module:
    """One node's module, initialised from its own stream of random numbers."""
    with torch.device(device), _stream(node.name, seed, device):
        module: nn.Module = node.component.build(*node.types, out=node.out)
    return module.to(dtype)


@contextmanager
def _stream(name: str, seed: int, device: str | torch.device) -> Iterator[None]:
    """Draw from a stream that belongs to this node alone; the caller's random state is left as it was."""
    place = torch.device(device)
    if place.type == "meta":
        yield
        return
    with torch.random.fork_rng(devices=[place] if place.type == "cuda" else []):
        digest = hashlib.sha256(f"{seed} {name}".encode()).digest()
        torch.manual_seed(int.from_bytes(digest[:4]))  # the CPU's generator reads 32 bits of a seed
        yield


def _checkpointed(plan: Plan, wanted: bool | Collection[str]) -> Collection[str]:
    if isinstance(wanted, bool):
        return {node.name for node in plan} if wanted else ()
    if unknown := sorted(set(wanted) - {node.name for node in plan}):
        raise UnknownName(
            Diagnostic("NS209", f"no node is called `{unknown[0]}`", help=("`netspec show` lists the nodes",))
        )
    return wanted


def _class_name(plan: Plan) -> str:
    """`ddpm-cifar10` as `DdpmCifar10`."""
    return "".join(part[:1].upper() + part[1:] for part in plan.spec.name.replace("_", "-").split("-")) or "Model"


def tensors(model: nn.Module) -> dict[str, Any]:
    """Every parameter and persistent buffer by its name, in module order."""
    return dict(model.state_dict(keep_vars=True))
