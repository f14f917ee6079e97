"""What a deployment target is: a class that says what it needs, writes files, proves them, and may run them here.

netspec never imports an exporter. Targets are found by the entry points of the group `netspec.exporters`, whose names
are what a spec's `targets: {…: {exporter: NAME}}` may say.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from importlib.util import find_spec
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Protocol, final

from netspec.errors import Diagnostic, ExportError, Span, UnknownName
from netspec.plan import Origin, Plan
from netspec.plugins import installed

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import Tensor, nn

    from netspec.precision import PrecisionPlan
    from netspec.weights.aligned import AlignedLayout

GROUP = "netspec.exporters"


@dataclass(frozen=True, slots=True)
class Port:
    """An input or output of the graph. `shape` holds fixed sizes and names of sizes, such as "batch" or "height"."""

    name: str
    shape: tuple[int | str, ...]
    dtype: torch.dtype


@dataclass(frozen=True)
class ExportRequest:
    """One network to export.

    model: the network in float32; `meta` tensors will do, as only names, shapes and dtypes of weights are read. Buffers
    that no state dict holds must be real.
    precision: what each part of it computes in, in the exported graph; None for what its tensors are.
    inputs, outputs: of the exported graph, in its types.
    plan: at the target's own sizes, where the network comes from one.
    source: the file of its float32 weights; None where there are none (yet), which not every target can do without.
    shared: where the graph lies beside that file and refers to it: the file's layout. Else a target keeps weights of
    its own beside its graph.
    multiples: what each named size is always divisible by; sharpens the sizes written beside values.
    origins: name of a top-level module to its place in the spec.
    metadata: text that travels in the model, such as the resolved spec.
    """

    model: nn.Module
    inputs: Sequence[Port]
    outputs: Sequence[Port]
    name: str
    precision: PrecisionPlan | None = None
    plan: Plan | None = None
    source: Path | None = None
    shared: AlignedLayout | None = None
    multiples: Mapping[str, int] = field(default_factory=dict)
    origins: Mapping[str, Origin] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)

    def stored(self, key: str, tensor: Tensor) -> torch.dtype:
        """The type in which the target keeps a parameter or buffer, before any quantisation."""
        return tensor.dtype if self.precision is None else self.precision.stored(key, tensor)

    def tensors(self) -> dict[str, Tensor]:
        """Every parameter and buffer by its dotted name, shared ones under each of their names."""
        found: dict[str, Tensor] = dict(self.model.named_parameters(remove_duplicate=False))
        return found | dict(self.model.named_buffers(remove_duplicate=False))


class Runner(Protocol):
    """Runs exported files on this machine."""

    def __call__(self, inputs: Mapping[str, np.ndarray], extra_outputs: Sequence[str] = ()) -> Mapping[str, np.ndarray]:
        """Outputs by name; `extra_outputs` are plan nodes whose values are wanted too."""


class Target(ABC):
    """A deployment target. Its options are constructor arguments; a spec's target may give them.

    `precisions` maps each precision that it takes to the float type of inputs, outputs and of what is not quantised.
    """

    name: ClassVar[str]
    file: ClassVar[str]  # the main one of those it writes: "model.onnx"
    precisions: ClassVar[Mapping[str, str]] = {"fp32": "fp32"}
    modules: ClassVar[tuple[str, ...]] = ()  # what it imports that a plain installation lacks
    extra: ClassVar[str] = ""  # the extra that installs them: pip install 'netspec[EXTRA]'
    needs_weights: ClassVar[bool] = False  # nothing can be written without them
    stamped: ClassVar[str] = ""  # why two exports of one network may differ in bytes, where they may
    engine: ClassVar[str] = ""  # `module:Class` of the netspec.bench.engine.Engine that times its files here

    @classmethod
    def missing(cls) -> str:
        """Why this target cannot be made on this machine, and what to do, in one sentence; "" where it can."""
        lacking = [name for name in cls.modules if find_spec(name) is None]
        if not lacking:
            return ""
        return f"{', '.join(lacking)} is not installed: pip install 'netspec[{cls.extra}]'"

    def unrunnable(self) -> str:
        """Why its files cannot be run here, "" where they can: `netspec targets` and `netspec verify` say so."""
        return ""

    def tolerance(self, request: ExportRequest) -> float | None:
        """How far its outputs may be from float32's, relative to the largest; None for what its precision gives."""
        return None

    def requires(self, request: ExportRequest) -> Iterator[Diagnostic]:
        """Why this network cannot go to this target, found before anything is written."""
        yield from ()

    @classmethod
    def options(cls) -> tuple[str, ...]:
        """What a spec may set: the constructor's arguments."""
        return tuple(signature(cls).parameters)

    @abstractmethod
    def export(self, request: ExportRequest, folder: Path) -> tuple[Path, ...]:
        """Write the target's files into `folder`, which is its own unless the request says `shared`, and name them,
        the main one first."""

    def rebind(self, request: ExportRequest, before: Path, folder: Path) -> None:
        """Write into `folder` what the request's weights make of a target whose files for others are in `before`: a
        graph that only refers to weights may stay as it is. Raises ExportError."""
        self.run(request, folder)

    def ensures(self, request: ExportRequest, files: tuple[Path, ...]) -> Iterator[Diagnostic]:
        """What is wrong with the written files."""
        yield from ()

    @abstractmethod
    def runner(self, graph: Path) -> Runner:
        """What runs an exported graph here, for parity. Raises ExportError where this machine cannot."""

    def twin(self, request: ExportRequest) -> Runner | None:
        """Where nothing here computes in the target's types: its graph in float32, with the request's weights, which
        parity then proves as closely as float32 allows. None where `runner` says it all."""
        return None

    def samples(self, request: ExportRequest) -> Sequence[Mapping[str, int]]:
        """Sizes of one run to ship beside the files, for the machine that can run them: the first that is not too dear.
        None by default."""
        return ()

    def ship(  # noqa: B027  # most targets run where they are made, and ship nothing
        self, request: ExportRequest, folder: Path, inputs: Mapping[str, np.ndarray], outputs: Mapping[str, np.ndarray]
    ) -> None:
        """Write such a run into the target's folder: inputs, and what PyTorch makes of them in float32."""

    @final
    def run(self, request: ExportRequest, folder: Path) -> tuple[Path, ...]:
        """requires, export, ensures. Raises ExportError with every finding of the stage that failed."""
        _refuse(self.requires(request))
        files = self.export(request, folder)
        _refuse(self.ensures(request, files))
        return files


def _refuse(found: Iterator[Diagnostic]) -> None:
    diagnostics = tuple(found)
    if diagnostics:
        raise ExportError(*diagnostics)


def names() -> tuple[str, ...]:
    """Every installed exporter."""
    return tuple(installed(GROUP))


def find(name: str, span: Span | None = None) -> type[Target]:
    """The exporter of that name. Raises UnknownName (NS215), pointing at `span`, where none is installed."""
    if (entry := installed(GROUP).get(name)) is not None:
        return entry.load()  # type: ignore[no-any-return]  # entry points are untyped
    close = get_close_matches(name, names(), n=1)
    raise UnknownName(
        Diagnostic(
            "NS215",
            f"no exporter is called `{name}`",
            span,
            f"did you mean `{close[0]}`?" if close else "",
            help=(f"installed exporters: {', '.join(names()) or 'none'}",),
        )
    )
