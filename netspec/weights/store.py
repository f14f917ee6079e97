"""The weights file of a plan: its layout without a number, its content node by node."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from netspec import graph
from netspec import spec as specs
from netspec.embedded import SPEC_KEY
from netspec.graph import Model
from netspec.plan import Plan
from netspec.weights import layouts
from netspec.weights.aligned import AlignedLayout, AlignedWriter, TensorInfo, dtype_name, load_tensors, read_layout
from netspec.weights.checkpoint import Checkpoint, open_checkpoint
from netspec.weights.convert import converted
from netspec.weights.files import copy_file
from netspec.weights.mismatch import check_fit
from netspec.weights.recognise import AUTO, recognise

Progress = Callable[[str], None]


def layout_of(plan: Plan, model: nn.Module) -> AlignedLayout:
    """Where each tensor of a network lies in its weights file; `model` may be on `meta`."""
    infos = [
        TensorInfo(name, dtype_name(tensor.dtype), tuple(tensor.shape)) for name, tensor in model.state_dict().items()
    ]
    return AlignedLayout.plan(infos, {SPEC_KEY: specs.text(plan.spec), "format": "pt"})


def write_random(plan: Plan, layout: AlignedLayout, path: Path, *, seed: int, progress: Progress) -> str:
    """Initialise and write one node after another, so that memory holds one; returns the file's SHA-256."""
    with AlignedWriter(path, layout) as writer:
        for node in plan:
            progress(node.name)
            module = graph.build_node(node, seed=seed)
            for name, tensor in module.state_dict().items():
                writer.write(f"{node.name}.{name}", tensor)
    return writer.sha256


@dataclass(frozen=True)
class Written:
    """A weights file that came from a checkpoint: its SHA-256, and how the checkpoint was read."""

    sha256: str
    copied: bool = False  # byte for byte: it is the SHA-256 of the checkpoint as well
    remarks: tuple[str, ...] = ()


def write_from(
    model: Model,
    layout: AlignedLayout,
    source: str,
    path: Path,
    *,
    rules: str = AUTO,
    ema: bool = False,
    progress: Progress,
) -> Written:
    """A checkpoint's weights, one tensor at a time.

    A file that already has this network's aligned form is copied byte for byte, by reflink where the file system can.
    `rules` names the layout of the checkpoint's keys. Raises WeightsError with everything that does not fit.
    """
    checkpoint = open_checkpoint(source)
    if rules in (AUTO, layouts.OWN) and not ema and _is_ours(checkpoint, layout):
        progress("copying")
        return Written(copy_file(checkpoint.files[0], path), copied=True)
    reading = recognise(checkpoint, model.plan, rules, ema=ema)
    check_fit(reading, checkpoint, model.plan)
    with AlignedWriter(path, layout) as writer:
        for name, tensor in converted(model, reading):
            progress(name)
            writer.write(name, tensor)
    return Written(writer.sha256, remarks=tuple(reading.remarks()))


def _is_ours(checkpoint: Checkpoint, layout: AlignedLayout) -> bool:
    """Whether the file begins as the file of this very network would."""
    (first, *more) = checkpoint.files
    return not more and first.suffix == ".safetensors" and read_layout(first).header == layout.header


def fill(model: nn.Module, path: Path) -> None:
    """Give a `meta` model its tensors of a network's weights file, mapped, not copied."""
    own = model.state_dict().keys()
    loaded: dict[str, Tensor] = {name: tensor for name, tensor in load_tensors(path) if name in own}
    model.load_state_dict(loaded, assign=True)
    model.eval()
