"""The float network run on samples: the range of every activation that a quantised layer reads or makes."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx_ir as ir
import onnxruntime
import torch

from exporters.lowering import ORT_CPU, Flavour, emit
from exporters.lowering.packing import slots_of
from exporters.onnx import runtime
from exporters.onnx.feeding import accepted
from exporters.quantize.histogram import Histogram
from exporters.quantize.samples import Sample
from exporters.quantize.sites import sites
from netspec.errors import Diagnostic, ExportError
from netspec.target import ExportRequest, Port
from netspec.weights.aligned import read_layout

HELD = 2**30  # bytes of activations that are fetched at once
THREADS = 2  # not the machine's: sums in another order would move the last digits of a scale


class Watched:
    """A graph that gives any of its values; its weights are read from `folder`."""

    def __init__(self, model: ir.Model, folder: Path, names: Sequence[str]) -> None:
        proto = runtime.exposing(ir.to_proto(model), names)
        settings = runtime.options(THREADS, proto)
        settings.add_session_config_entry("session.model_external_initializers_file_folder_path", os.fspath(folder))
        self._session = onnxruntime.InferenceSession(
            proto.SerializeToString(), settings, providers=["CPUExecutionProvider"]
        )
        self.names = [value.name for value in self._session.get_outputs()]

    def __call__(self, sample: Sample, names: Sequence[str]) -> dict[str, np.ndarray]:
        """The values of these names; those that the graph does not have are left out."""
        wanted = [name for name in names if name in self.names]
        return dict(zip(wanted, self._session.run(wanted, accepted(self._session, sample)), strict=True))


def in_float32(request: ExportRequest) -> ExportRequest:
    """The request for the network as it is, whose weights are the network's own file."""

    def exact(port: Port) -> Port:
        return replace(port, dtype=torch.float32) if port.dtype.is_floating_point else port

    inputs, outputs = ([exact(port) for port in ports] for ports in (request.inputs, request.outputs))
    return replace(request, precision=None, inputs=inputs, outputs=outputs)


def plain(flavour: Flavour) -> Flavour:
    """The flavour with every layer as one operator on the weight as it is stored: what can be rewritten in few bits."""
    return replace(flavour, conv="direct", layout="channels_first")


def reference(request: ExportRequest) -> ir.Model:
    """The float network, referring to the file of its weights by name."""
    assert request.source is not None  # NS511 has been told
    return emit(in_float32(request), plain(ORT_CPU), slots_of(read_layout(request.source), request.source.name))


class Activity:
    """What one layer reads or makes: all its values, and the energy and variance of each channel."""

    def __init__(self) -> None:
        self.seen = Histogram()
        self._count = 0
        self._sum: np.ndarray | float = 0.0
        self._squares: np.ndarray | float = 0.0

    def add(self, values: np.ndarray, axis: int) -> None:
        """values: with their channels along `axis`. Raises ValueError where one is not finite."""
        self.seen.add(values)
        rows = np.moveaxis(values, axis, 0).reshape(values.shape[axis], -1)
        self._count += rows.shape[1]
        self._sum = self._sum + rows.sum(1, dtype=np.float64)
        self._squares = self._squares + np.einsum("ij,ij->i", rows, rows).astype(np.float64)

    def merge(self, other: Activity) -> None:
        """Add what another one has seen."""
        self.seen.merge(other.seen)
        self._count += other._count
        self._sum = self._sum + other._sum
        self._squares = self._squares + other._squares

    @property
    def energy(self) -> np.ndarray:
        """The mean square of each channel."""
        return np.asarray(self._squares / self._count)

    @property
    def variance(self) -> np.ndarray:
        """Of each channel, over samples and places."""
        return np.asarray(np.maximum(self.energy - np.asarray(self._sum / self._count) ** 2, 0.0))


class Ranges:
    """What each layer of a network reads and makes, by the name of the value."""

    def __init__(self, model: ir.Model, paths: Sequence[str], operators: frozenset[str]) -> None:
        self._reads: dict[str, list[str]] = {}
        self._makes: dict[str, list[str]] = {}
        self._axes: dict[str, int] = {}
        self.convolutions: set[str] = set()  # those of the layers that are one in the graph
        for path, places in sites(model, paths, operators).items():
            self._reads[path] = [str(place.source.name) for place in places]
            self._makes[path] = [str(place.made.name) for place in places]
            if places[0].node.op_type == "Conv":
                self.convolutions.add(path)
            axis = 1 if path in self.convolutions else -1
            self._axes |= dict.fromkeys((*self._reads[path], *self._makes[path]), axis)
        self._seen = {name: Activity() for name in self._axes}

    @property
    def paths(self) -> list[str]:
        """The layers."""
        return list(self._reads)

    @property
    def names(self) -> list[str]:
        """The values."""
        return list(self._axes)

    def watch(self, run: Watched, samples: Sequence[Sample], largest: int) -> None:
        """Run every sample. `largest` numbers at most are in one value: what decides how many are fetched at once."""
        made = [name for name in self.names if name not in samples[0]]
        sizes = dict.fromkeys(made, 4 * largest)
        for sample in samples:
            for name in self.names:
                if name in sample:
                    self._add(name, sample[name])
            for group in _groups(sizes):
                for name, values in run(sample, group).items():
                    sizes[name] = values.nbytes
                    self._add(name, values)

    def read(self, path: str) -> Activity:
        """What enters a layer, in all its uses."""
        return self._joined(self._reads[path])

    def made(self, path: str) -> Activity:
        """What leaves it."""
        return self._joined(self._makes[path])

    def _add(self, name: str, values: np.ndarray) -> None:
        try:
            self._seen[name].add(values, self._axes[name])
        except ValueError as error:
            message = f"calibration: {error} in `{name}`, although the network is in float32"
            raise ExportError(Diagnostic("NS560", message, help=("look at the weights, and at the inputs",))) from error

    def _joined(self, names: Sequence[str]) -> Activity:
        joined = Activity()
        for name in dict.fromkeys(names):
            joined.merge(self._seen[name])
        return joined


def _groups(sizes: Mapping[str, int]) -> Iterator[list[str]]:
    group: list[str] = []
    held = 0
    for name, size in dict(sizes).items():
        if group and held + size > HELD:
            yield group
            group, held = [], 0
        group.append(name)
        held += size
    if group:
        yield group
