"""The weights file of a plan: its layout without a number, its content node by node."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from netspec import graph
from netspec import spec as specs
from netspec.embedded import SPEC_KEY
from netspec.graph import Model
from netspec.plan import Plan
from netspec.weights import layouts
from netspec.weights.aligned import AlignedLayout, AlignedWriter, TensorInfo, dtype_name, load_tensors, read_layout
from netspec.weights.convert import converted
from netspec.weights.files import copy_file
from netspec.weights.mismatch import check_fit
from netspec.weights.source import open_source

Progress = Callable[[str], None]


def layout_of(plan: Plan, model: nn.Module) -> AlignedLayout:
    """Where each tensor of a network lies in its weights file; `model` may be on `meta`."""
    infos = [
        TensorInfo(name, dtype_name(tensor.dtype), tuple(tensor.shape)) for name, tensor in model.state_dict().items()
    ]
    return AlignedLayout.plan(infos, {SPEC_KEY: specs.text(plan.spec), "format": "pt"})


def write_random(
    plan: Plan, layout: AlignedLayout, path: Path, *, seed: int, dtype: torch.dtype, progress: Progress
) -> str:
    """Initialise and write one node after another, so that memory holds one; returns the file's SHA-256."""
    with AlignedWriter(path, layout) as writer:
        for node in plan:
            progress(node.name)
            module = graph.build_node(node, seed=seed, dtype=dtype)
            for name, tensor in module.state_dict().items():
                writer.write(f"{node.name}.{name}", tensor)
    return writer.sha256


def write_probe(source: Path, path: Path) -> None:
    """A copy of fresh weights in which every parameter that starts at zero is small noise.

    A zero-initialised output layer hides whatever happens before it; parity on such weights would prove nothing.
    """
    generator = torch.Generator().manual_seed(0)
    with AlignedWriter(path, read_layout(source)) as writer:
        for name, tensor in load_tensors(source):
            if tensor.is_floating_point() and not tensor.any():
                tensor = (torch.randn(tensor.shape, generator=generator) * 0.02).to(tensor.dtype)
            writer.write(name, tensor)


def write_from(
    model: Model, layout: AlignedLayout, source: str, path: Path, *, rules: str = "netspec", progress: Progress
) -> tuple[str, str | None]:
    """A checkpoint's weights, one tensor at a time; returns the SHA-256 of the file, and of the source where that cost
    nothing.

    A file that already has this network's aligned form is copied byte for byte, by reflink where the file system can.
    `rules` names the layout of the checkpoint's keys. Raises WeightsError with everything that does not fit.
    """
    given = open_source(source)
    found = layouts.find(rules)
    check_fit(given, model.plan, found)
    if source.endswith(".safetensors") and read_layout(source).header == layout.header:
        progress("copying")
        digest = copy_file(source, path)
        return digest, digest
    with AlignedWriter(path, layout) as writer:
        for name, tensor in converted(model, found, given):
            progress(name)
            writer.write(name, tensor)
    return writer.sha256, None


def fill(model: nn.Module, path: Path) -> None:
    """Give a `meta` model the tensors of its weights file, mapped, not copied."""
    loaded: dict[str, Tensor] = dict(load_tensors(path))
    model.load_state_dict(loaded, assign=True)
    model.eval()
