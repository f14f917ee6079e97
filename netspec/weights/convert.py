"""A checkpoint in any layout → the tensors of a network, or a file in another layout."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from netspec import api, graph
from netspec.embedded import SPEC_KEY
from netspec.errors import Diagnostic, WeightsError
from netspec.graph import Model
from netspec.plan import Plan
from netspec.weights import layouts
from netspec.weights.checkpoint import Checkpoint, open_checkpoint
from netspec.weights.inspection import Match, parts, shipped_matches
from netspec.weights.layouts import Layout
from netspec.weights.mismatch import check_fit
from netspec.weights.recognise import AUTO, Reading, differ, recognise, signs_in
from netspec.weights.rewrite import Rewriting

Precision: TypeAlias = Literal["fp32", "fp16", "bf16"]

_DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


@dataclasses.dataclass(frozen=True)
class Conversion:
    """What was written: the layout with its choices, how many tensors, of which network; and how the file was read."""

    layout: str
    tensors: int
    network: str
    remarks: tuple[str, ...]


def convert(
    weights: str | os.PathLike[str],
    path: str | os.PathLike[str],
    *,
    to: str | Layout = layouts.OWN,
    layout: str | Layout = AUTO,
    plan: Plan | None = None,
    dtype: Precision | None = None,
    ema: bool = False,
) -> Conversion:
    """Write a checkpoint as one safetensors file of another layout, or of our own with the spec inside.

    Args:
        plan: the network; without it the spec that the file holds, or the shipped one that it fits.
        dtype: of floating-point numbers; None keeps each tensor's.

    Choices that both layouts have (`projections`) are those of the file, unless `to` says otherwise. Memory holds the
    largest group of tensors that belong together, not the file. The new file appears when it is whole.
    Raises WeightsError: what `load_weights` raises; NS624 where no shipped network fits, or several do that read the
    file otherwise; NS617 where the new file cannot be written.
    """
    checkpoint = open_checkpoint(weights)
    target = layouts.find(to)
    network = plan or _network(checkpoint)
    reading = recognise(checkpoint, network, layout, ema=ema)
    check_fit(reading, checkpoint, network)
    if isinstance(to, str):
        target = _same_choices(target, reading.layout, to)
    rewriting = Rewriting(network, reading.source, reading.entries, target, _DTYPES[dtype] if dtype else None)
    rewriting.write(Path(path))
    tensors = len(rewriting.header.tensors)
    return Conversion(_spelled(target), tensors, network.spec.name, tuple(reading.remarks()))


def _network(checkpoint: Checkpoint) -> Plan:
    """The network that a file says it holds, or that it fits."""
    if SPEC_KEY in checkpoint.metadata:
        return api.lower(api.loads(checkpoint.metadata[SPEC_KEY], name=checkpoint.label))
    found = parts(shipped_matches(checkpoint, signs_in(checkpoint)))
    fitting = [match for match in (found[0] if found else ()) if match.reading.fit.fits]
    if not fitting:
        raise _ask(f"{checkpoint.label} fits no shipped spec", "`netspec weights inspect` says what comes near")
    first, *others = fitting
    if any(differ(first.reading, other.reading) for other in others):
        raise _ask(f"{checkpoint.label} fits several shipped specs that read it differently", _named(fitting))
    return first.network.plan


def _ask(message: str, note: str) -> WeightsError:
    return WeightsError(Diagnostic("NS624", message, notes=(note,), help=("name the network: --spec SPEC",)))


def _named(matches: list[Match]) -> str:
    return ", ".join(str(match.network) for match in matches)


def _same_choices(target: Layout, source: Layout, said: str) -> Layout:
    """The target with the source's choices, where it has the same and nobody has said otherwise."""
    written = {choice.partition("=")[0].strip() for choice in said.partition(":")[2].split(",")}
    shared = {field.name for field in dataclasses.fields(target)} & {field.name for field in dataclasses.fields(source)}
    return dataclasses.replace(target, **{name: getattr(source, name) for name in shared - written})


def _spelled(layout: Layout) -> str:
    """`diffusers:projections=linear`: the layout as `--layout` takes it, with the choices that are not the usual."""
    usual = type(layout)()
    chosen = [
        f"{field.name}={getattr(layout, field.name)}"
        for field in dataclasses.fields(layout)
        if getattr(layout, field.name) != getattr(usual, field.name)
    ]
    return f"{layout.name}:{','.join(chosen)}" if chosen else layout.name


def converted(model: Model, reading: Reading) -> Iterator[tuple[str, Tensor]]:
    """Every tensor of the model: from the source, or computed where the layout stores none.

    Values have the model's dtypes. `check_fit` has to have passed.
    """
    own = model.state_dict()
    for entry in reading.entries:
        found = dict(entry.read(reading.source))
        for key in entry.ours:
            if key in found:
                value = found[key]
            elif own[key].is_meta:
                made = graph.build_node(entry.node).state_dict()
                value = made[key.removeprefix(f"{entry.node.name}.")]
            else:
                value = own[key]
            yield key, value.to(own[key].dtype)
