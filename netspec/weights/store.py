"""The weights file of a plan: its layout without a number, its content node by node."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from netspec import graph
from netspec import spec as specs
from netspec.embedded import SPEC_KEY
from netspec.errors import Diagnostic, WeightsError
from netspec.plan import Plan
from netspec.weights.aligned import AlignedLayout, AlignedWriter, TensorInfo, dtype_name, load_tensors, read_layout
from netspec.weights.files import copy_file

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


def write_from(layout: AlignedLayout, source: Path, path: Path, *, progress: Progress) -> str:
    """Weights of a file with our keys, in this network's layout; returns the SHA-256.

    A file that already has that layout is copied byte for byte, by reflink where the file system can. Raises
    WeightsError with every tensor that is missing, unexpected or of another shape.
    """
    given = read_layout(source)
    _check_fit(layout, given, source)
    if given.header == layout.header:
        progress("copying")
        return copy_file(source, path)
    with AlignedWriter(path, layout) as writer:
        for name, tensor in load_tensors(source):
            progress(name)
            wanted = layout.infos[name].dtype
            writer.write(name, tensor if dtype_name(tensor.dtype) == wanted else tensor.to(_TORCH[wanted]))
    return writer.sha256


_TORCH = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "I64": torch.int64}


def _check_fit(layout: AlignedLayout, given: AlignedLayout, source: Path) -> None:
    wanted, found = layout.infos, given.infos
    problems: dict[str, list[str]] = {}
    for name in [*wanted, *(name for name in found if name not in wanted)]:
        if name not in found:
            text = f"missing {name} {list(wanted[name].shape)}"
        elif name not in wanted:
            text = f"unexpected {name} {list(found[name].shape)}"
        elif wanted[name].shape != found[name].shape:
            text = f"{name} is {list(found[name].shape)}, the network has {list(wanted[name].shape)}"
        else:
            continue
        problems.setdefault(name.split(".", 1)[0], []).append(text)
    if problems:
        raise WeightsError(*_report(problems, source))


def _report(problems: Mapping[str, list[str]], source: str | os.PathLike[str]) -> Iterator[Diagnostic]:
    """One finding per node, at most eight nodes: a wrong file differs everywhere and the first blocks say how."""
    for index, (node, texts) in enumerate(problems.items()):
        if index == 8:
            yield Diagnostic("NS603", f"and {len(problems) - 8} more nodes of the network")
            return
        more = (f"and {len(texts) - 3} more tensors of this node",) if len(texts) > 3 else ()
        yield Diagnostic("NS603", f"`{node}` does not fit {os.fspath(source)}", notes=(*texts[:3], *more))


def fill(model: nn.Module, path: Path) -> None:
    """Give a `meta` model the tensors of its weights file, mapped, not copied."""
    loaded: dict[str, Tensor] = dict(load_tensors(path))
    model.load_state_dict(loaded, assign=True)
    model.eval()
