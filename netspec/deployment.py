"""deployments(): what each wanted target of a spec needs, and every reason why one cannot be, before anything heavy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

import torch

from netspec import graph
from netspec import spec as specs
from netspec.embedded import SPEC_KEY
from netspec.errors import Diagnostic, NetspecError, UnknownName, raise_all
from netspec.graph import Model
from netspec.plan import Plan
from netspec.planner import lower
from netspec.planner.points import multiples, narrowed
from netspec.spec import Spec
from netspec.spec import Target as Wanted
from netspec.target import ExportRequest, Port, Slot, Target, find
from netspec.tensors import Size
from netspec.weights import store
from netspec.weights.aligned import AlignedLayout

DTYPES = {"fp32": torch.float32, "fp16": torch.float16}


@dataclass(frozen=True)
class Deployment:
    """One target of a spec, ready to run: its part of the network on `meta`, where the whole network's weights will
    lie, what to export."""

    name: str
    plan: Plan  # at the target's own sizes, of its own outputs
    exporter: Target
    precision: str
    dtype: torch.dtype
    model: Model
    network: Model  # whole; the model itself where the target has every output
    layout: AlignedLayout
    weights: str  # file name
    request: ExportRequest

    @property
    def file(self) -> str:
        """The name of its graph."""
        return f"{self.request.file_name}{self.exporter.suffix}"


def deployments(plan: Plan, names: Sequence[str] = ()) -> list[Deployment]:
    """The targets of a spec that are wanted, all by default, in the spec's order.

    Raises UnknownName, SpecError or ExportError with everything that is wrong with any of them.
    """
    wanted = _wanted(plan.spec, names)
    raise_all(_collisions(plan.spec, wanted))
    made: list[Deployment] = []
    found: list[Diagnostic] = []
    for name, target in wanted.items():
        try:
            deployment = _deployment(plan, name, target)
            found += deployment.exporter.requires(deployment.request)
        except NetspecError as error:
            found += error.diagnostics
        else:
            made.append(deployment)
    raise_all(found)
    return made


def _deployment(plan: Plan, name: str, wanted: Wanted) -> Deployment:
    dtype = _dtype(plan.spec, name, wanted)
    exporter = _exporter(plan.spec, name, wanted)
    sized = lower(narrowed(plan.spec, name)) if wanted.dims else plan
    raise_all(_outgrown(plan, sized, name))
    network = graph.build(plan, device="meta", dtype=dtype).eval()  # not `sized`: weights do not depend on the target
    model = network
    if wanted.outputs:
        sized = sized.only(wanted.outputs)
        model = graph.build(plan.only(wanted.outputs), device="meta", dtype=dtype).eval()
    layout = store.layout_of(plan, network)
    weights = weights_name(wanted.precision)
    request = request_for(sized, model, layout, weights, graph_name(name))
    return Deployment(name, sized, exporter, wanted.precision, dtype, model, network, layout, weights, request)


def _outgrown(plan: Plan, sized: Plan, name: str) -> Iterator[Diagnostic]:
    """NS305 where a target's images need more positions than the network's table has."""
    for node, own in zip(plan, sized, strict=True):
        if own.cost.params + own.cost.frozen > node.cost.params + node.cost.frozen:
            yield Diagnostic(
                "NS305",
                f"target `{name}` is larger than the largest image that `{node.name}` has positions for",
                plan.spec.place(("targets", name, "dims")).value,
                help=("raise `max` in `dims`, or give the position table a `grid`",),
                path=f"targets.{name}.dims",
            )


def weights_name(precision: str) -> str:
    """The weights file of one precision; targets of one precision share it."""
    return "model.safetensors" if precision == "fp32" else f"model.{precision}.safetensors"


def graph_name(target: str) -> str:
    """The stem of a target's graph: the plain `onnx` target is the bundle's `model`."""
    return "model" if target == "onnx" else target


def request_for(
    plan: Plan, model: Model, layout: AlignedLayout, location: str, file_name: str = "model"
) -> ExportRequest:
    """What an exporter needs to know of a plan: ports, weights by reference, origins, the resolved spec.

    A size whose range is one number is that number in the ports; weights are where those of the whole network lie.
    """
    dtype = next((p.dtype for p in model.parameters()), torch.float32)

    def port(given: Port) -> Port:
        sizes = (plan.spec.size(size) for size in given.shape)
        return Port(given.name, tuple(size.opt if _constant(size) else str(size) for size in sizes), given.dtype)

    return ExportRequest(
        model=model,
        inputs=[port(each) for each in inputs(plan, dtype)],
        outputs=[port(each) for each in outputs(plan, dtype)],
        name=plan.spec.name,
        file_name=file_name,
        weights={name: Slot(location, offset, length) for name, (offset, length) in layout.places.items()},
        multiples=multiples(plan),
        origins={node.name: node.origin for node in plan},
        metadata={SPEC_KEY: specs.text(model.spec)},
    )


def _constant(size: Size) -> bool:
    return size.values[0] == size.values[2]


def inputs(plan: Plan, dtype: torch.dtype) -> list[Port]:
    """The network's inputs, with the words of `dims`; `dtype` is that of the weights."""
    return [
        Port(name, plan.spec.inputs[name].shape, getattr(torch, type_.dtype) if type_.dtype else dtype)
        for name, type_ in plan.inputs.items()
    ]


def outputs(plan: Plan, dtype: torch.dtype) -> list[Port]:
    """The network's outputs, likewise; sizes may also be multiples and fractions of the words."""
    return [Port(name, plan.spec.outputs[name].shape, dtype) for name in plan.outputs]


def _wanted(spec: Spec, names: Sequence[str]) -> dict[str, Wanted]:
    for name in names:
        if name not in spec.targets:
            close = get_close_matches(name, spec.targets, n=1)
            meant = (f"did you mean `{close[0]}`?",) if close else ()
            known = ", ".join(spec.targets)
            raise UnknownName(
                Diagnostic("NS212", f"the spec has no target `{name}`", help=(*meant, f"targets: {known}"))
            )
    return {name: target for name, target in spec.targets.items() if not names or name in names}


def _collisions(spec: Spec, wanted: dict[str, Wanted]) -> Iterator[Diagnostic]:
    """NS315 for targets whose graphs would be one file, also where a file system ignores case."""
    owners: dict[str, str] = {}
    for name in wanted:
        file = graph_name(name).lower()
        if file in owners:
            yield Diagnostic(
                "NS315",
                f"the graph of target `{name}` has the file name of target `{owners[file]}`'s",
                spec.place(("targets", name)).key,
                "would overwrite it",
                help=("give it another name",),
                path=f"targets.{name}",
            )
        owners.setdefault(file, name)


def _exporter(spec: Spec, name: str, wanted: Wanted) -> Target:
    """The target's exporter with the options that the spec gives it."""
    place = spec.place(("targets", name, "exporter"))
    written = spec.document is not None and ("targets", name) in spec.document.places
    cls = find(wanted.exporter, place.value if written else None)
    known = cls.options()
    if unknown := [option for option in wanted.options if option not in known]:
        option = unknown[0]
        close = get_close_matches(option, known, n=1)
        takes = ", ".join(f"`{each}`" for each in known) or "none"
        raise UnknownName(
            Diagnostic(
                "NS213",
                f"exporter `{wanted.exporter}` has no option `{option}`",
                spec.place(("targets", name, option)).key,
                f"did you mean `{close[0]}`?" if close else "",
                help=(f"options: {takes}, besides `exporter`, `precision`, `dims` and `outputs`",),
                path=f"targets.{name}.{option}",
            )
        )
    return cls(**wanted.options)


def _dtype(spec: Spec, name: str, wanted: Wanted) -> torch.dtype:
    if wanted.precision not in DTYPES:
        raise UnknownName(
            Diagnostic(
                "NS214",
                f"target `{name}`: exporter `{wanted.exporter}` has no precision {wanted.precision}",
                spec.place(("targets", name, "precision")).value,
                help=(f"it has {', '.join(DTYPES)}",),
                path=f"targets.{name}.precision",
            )
        )
    return DTYPES[wanted.precision]
