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
from netspec.precision import FLOATS, PrecisionPlan, assign, unmatched
from netspec.rewrites import rewrite
from netspec.spec import Spec
from netspec.spec import Target as Wanted
from netspec.target import ExportRequest, Port, Target, find
from netspec.tensors import Size
from netspec.weights import store
from netspec.weights.aligned import AlignedLayout

WEIGHTS = "model.safetensors"  # the network's own, float32, at the top of a bundle
_TOP = ("spec.yaml", "plan.txt", "manifest.json", "report.html", WEIGHTS, "model.onnx")


@dataclass(frozen=True)
class Deployment:
    """One target of a spec, ready to run: its part of the network on `meta`, and what to export.

    model: as the spec describes it. What is exported, the request's, may be another form of it (`transforms`).
    folder: below the bundle; the bundle itself for the plain `onnx` target, which refers to the network's weights.
    """

    name: str
    plan: Plan  # at the target's own sizes, of its own outputs
    exporter: Target
    model: Model
    request: ExportRequest
    folder: str

    @property
    def file(self) -> str:
        """Its main file, below the bundle."""
        return f"{self.folder}/{self.exporter.file}" if self.folder else self.exporter.file

    @property
    def precision(self) -> PrecisionPlan:
        """What each part of the network computes in."""
        assert self.request.precision is not None  # a deployment's always says
        return self.request.precision


def deployments(
    plan: Plan, names: Sequence[str] = (), *, weights: bool = True, making: bool = True
) -> list[Deployment]:
    """The targets of a spec that are wanted, all by default, in the spec's order.

    `weights` says whether there are any; `making`, that what makes the targets has to be installed.

    Raises UnknownName, SpecError or ExportError with everything that is wrong with any of them.
    """
    wanted = _wanted(plan.spec, names)
    raise_all(_collisions(plan.spec, wanted))
    network = graph.build(plan, device="meta").eval()
    made: list[Deployment] = []
    found: list[Diagnostic] = []
    for name, target in wanted.items():
        try:
            deployment = _deployment(plan, network, name, target)
            found += _lacking(plan.spec, deployment, weights) if making else ()
            found += deployment.exporter.requires(deployment.request)
        except NetspecError as error:
            found += error.diagnostics
        else:
            made.append(deployment)
    raise_all(found)
    return made


def _deployment(plan: Plan, network: Model, name: str, wanted: Wanted) -> Deployment:
    exporter = _exporter(plan.spec, name, wanted)
    base = _base(plan.spec, name, wanted, exporter)
    sized = lower(narrowed(plan.spec, name)) if wanted.dims else plan
    raise_all(_outgrown(plan, sized, name))
    model = network  # not of `sized`: weights do not depend on the target
    if wanted.outputs:
        sized = sized.only(wanted.outputs)
        model = graph.build(plan.only(wanted.outputs), device="meta").eval()
    raise_all(_unmatched(plan.spec, name, model, wanted))
    precision = assign(model, wanted.precision, base)
    shared = name == "onnx" and precision.uses == {"fp32"} and not wanted.transforms and exporter.file == "model.onnx"
    layout = store.layout_of(plan, network) if shared else None
    traced = model
    if wanted.transforms:  # another network: what is exported is compared with the one that the spec describes
        traced = graph.build(plan.only(wanted.outputs) if wanted.outputs else plan, device="meta").eval()
        rewrite(traced, sized, name)
    request = request_for(sized, traced, precision, shared=layout)
    return Deployment(name, sized, exporter, model, request, "" if shared else name)


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


def _lacking(spec: Spec, deployment: Deployment, weights: bool) -> Iterator[Diagnostic]:
    """NS510 for software that is not installed, NS511 for a target that is made of weights where there are none."""
    name, exporter = deployment.name, deployment.exporter
    path = f"targets.{name}.exporter"
    place = spec.place(("targets", name, "exporter")).value
    if why := exporter.missing():
        yield Diagnostic("NS510", f"target `{name}`: {why}", place, path=path)
    if (exporter.needs_weights or deployment.precision.quantised) and not weights:
        yield Diagnostic(
            "NS511",
            f"target `{name}` cannot be made without weights",
            place,
            help=("leave `--weights none` out, or build other targets: `--target NAME`",),
            path=path,
        )


def _unmatched(spec: Spec, name: str, model: Model, wanted: Wanted) -> Iterator[Diagnostic]:
    """NS217 for patterns of `precision` that name no part of the network."""
    paths = [path for path, _ in model.named_modules() if path]
    for dtype, pattern in unmatched(model, wanted.precision):
        close = get_close_matches(pattern, paths, n=1)
        yield Diagnostic(
            "NS217",
            f"target `{name}`: `{pattern}` names no part of the network",
            spec.place(("targets", name, "precision", dtype, wanted.precision.overrides[dtype].index(pattern))).value,
            f"did you mean `{close[0]}`?" if close else "",
            help=(
                "parts are nodes of `netspec show --nodes`, what they hold (`block_0.norm1`), or patterns: `*.norm*`",
            ),
            path=f"targets.{name}.precision.{dtype}",
        )


def request_for(
    plan: Plan, model: Model, precision: PrecisionPlan | None = None, *, shared: AlignedLayout | None = None
) -> ExportRequest:
    """What an exporter needs to know of a plan: ports, precision, origins, the resolved spec.

    A size whose range is one number is that number in the ports. Without `precision` all is as the model's tensors are.
    """
    dtype = next((p.dtype for p in model.parameters()), torch.float32)
    if precision is not None:
        dtype = FLOATS[precision.base]

    def port(given: Port) -> Port:
        sizes = (plan.spec.size(size) for size in given.shape)
        return Port(given.name, tuple(size.opt if _constant(size) else str(size) for size in sizes), given.dtype)

    return ExportRequest(
        model=model,
        inputs=[port(each) for each in inputs(plan, dtype)],
        outputs=[port(each) for each in outputs(plan, dtype)],
        name=plan.spec.name,
        precision=precision,
        plan=plan,
        shared=shared,
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
    """NS315 for targets whose folders would be one, also where a file system ignores case, or a file of the bundle."""
    owners = {name: f"the bundle's own `{name}`" for name in _TOP}
    for name in wanted:
        folder = name.lower()
        if folder in owners:
            yield Diagnostic(
                "NS315",
                f"the folder of target `{name}` has the name of {owners[folder]}",
                spec.place(("targets", name)).key,
                "would overwrite it",
                help=("give it another name",),
                path=f"targets.{name}",
            )
        owners.setdefault(folder, f"target `{name}`'s")


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
                help=(f"options: {takes}, besides `exporter`, `precision`, `dims`, `outputs` and `transforms`",),
                path=f"targets.{name}.{option}",
            )
        )
    return cls(**wanted.options)


def _base(spec: Spec, name: str, wanted: Wanted, exporter: Target) -> str:
    """The float type of a target's precision. Raises UnknownName (NS214) where its exporter lacks one."""
    for key, precision in (
        ("default", wanted.precision.default),
        *((each,) * 2 for each in wanted.precision.overrides),
    ):
        if precision not in exporter.precisions:
            place = spec.place(("targets", name, "precision"))
            raise UnknownName(
                Diagnostic(
                    "NS214",
                    f"target `{name}`: exporter `{wanted.exporter}` has no precision {precision}",
                    spec.place(("targets", name, "precision", key)).key or place.value,
                    help=(f"it has {', '.join(exporter.precisions)}",),
                    path=f"targets.{name}.precision",
                )
            )
    return exporter.precisions[wanted.precision.default]
