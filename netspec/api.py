"""The public functions, each one step of the pipeline or a few of them in a row."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from netspec import document, embedded, layers, lints, planner, registry, shipped, validation
from netspec import spec as specs
from netspec.analysis import Summary, summarise
from netspec.builder import MAX_NODES
from netspec.bundle.manifest import MANIFEST, Manifest
from netspec.errors import Diagnostic, DocumentError, ShapeError, SpecError
from netspec.plan import Plan
from netspec.planner.points import narrowed
from netspec.spec import Spec

if TYPE_CHECKING:
    import torch

    from netspec.graph import Model
    from netspec.weights.checkpoint import Weights
    from netspec.weights.layouts import Layout
    from netspec.weights.recognise import Reading

PathLike = str | os.PathLike[str]


def load(path: PathLike, *, variant: str | None = None, set: Mapping[str, Any] | Sequence[str] = ()) -> Spec:
    """The spec in a file, with a variant and settings laid over it. A bundle and a `.safetensors` or `.onnx` file that
    netspec wrote hold their spec too; `tiny/unet` names a spec that netspec comes with, where there is no such file.

    `set` maps paths to values (`{"unet.levels[1].channels": 96}`), or holds `path=value` texts as `--set` takes them.
    Raises SpecError with everything that is wrong with the file, WeightsError for a file that holds no spec.
    """
    return _resolve(_document(path), variant, set)


def _document(path: PathLike) -> document.Document:
    if os.path.exists(os.path.join(path, MANIFEST)):
        Manifest.read(path)
        return document.load(os.path.join(path, "spec.yaml"))
    text = embedded.spec_text(os.fspath(path))
    if text is not None:
        return document.loads(text, os.fspath(path))
    if os.path.exists(path):
        return document.load(path)
    name = os.fspath(path)
    try:
        return document.load(shipped.find(name) or path)
    except DocumentError as error:
        meant = " or ".join(f"`{each}`" for each in shipped.near(name))
        if not meant:
            raise
        first = error.diagnostics[0]
        raise DocumentError(replace(first, help=(*first.help, f"netspec comes with {meant}"))) from error


def loads(
    text: str,
    *,
    name: str = "<string>",
    variant: str | None = None,
    set: Mapping[str, Any] | Sequence[str] = (),
    shelf: layers.Shelf = layers.FILES,
) -> Spec:
    """The spec in a text; `name` stands for the file in messages, `shelf` has what it extends. Otherwise as `load`."""
    return _resolve(document.loads(text, name), variant, set, shelf)


def _resolve(
    parsed: document.Document,
    variant: str | None,
    settings: Mapping[str, Any] | Sequence[str],
    shelf: layers.Shelf = layers.FILES,
) -> Spec:
    registry.load_all()
    texts = (
        [layers.as_setting(path, value) for path, value in settings.items()]
        if isinstance(settings, Mapping)
        else list(settings)
    )
    composed = layers.compose(parsed, variant=variant, settings=texts, shelf=shelf)
    validation.validate(composed)
    return specs.resolve(composed)


def composed(path: PathLike, *, variant: str | None = None) -> document.Document:
    """The document of a spec, as `load` finds it, over what it extends and under a variant: for those who lay many
    settings over one. Raises as `load`."""
    return layers.compose(_document(path), variant=variant)


def lower(spec: Spec) -> Plan:
    """The checked plan of a spec: nodes, types, costs. No torch. Raises SpecError."""
    return planner.lower(spec)


def check(
    path: PathLike, *, variant: str | None = None, set: Mapping[str, Any] | Sequence[str] = ()
) -> list[Diagnostic]:
    """Everything that is wrong with a spec file: findings of the level `error`; and where there is none, those of the
    level `warning`, what is valid and still looks unintended. Empty where the spec is sound and allows the rest.

    Without `variant` every variant of the file is checked too, and what the file allows without need is a warning.
    """
    sweep = _Sweep()
    try:
        parsed = _document(path)
        spec = _resolve(parsed, variant, set)
        plans = [sweep.lower(spec)]
    except SpecError as error:
        return list(error.diagnostics)
    wrong: list[Diagnostic] = []
    for name in spec.variants if variant is None else ():
        try:
            plans.append(sweep.lower(_resolve(parsed, name, set)))
        except SpecError as error:
            wrong += error.diagnostics
    if wrong:
        return _once(wrong)
    verdicts = [lints.weigh(plan) for plan in plans]
    told = [each for verdict in verdicts for each in verdict.warnings]
    return _once(told if variant or set else [*told, *lints.unused(verdicts, parsed.source)])


def warnings(spec: Spec) -> list[Diagnostic]:
    """What is valid in a spec and still looks unintended, less what the spec allows. Raises SpecError."""
    return lints.check(lower(spec))


def _once(found: Iterable[Diagnostic]) -> list[Diagnostic]:
    """What several variants share is told once."""
    told: dict[tuple[object, ...], Diagnostic] = {}
    for each in found:
        told.setdefault((each.code, each.message, each.label, each.span.order if each.span else ()), each)
    return list(told.values())


class _Sweep:
    """Lowers every network that one file describes, for every target, until they are too many to be meant."""

    def __init__(self) -> None:
        self.left = 4 * MAX_NODES

    def lower(self, spec: Spec) -> Plan:
        plan = self._lower(spec)
        for name, target in spec.targets.items():
            if target.dims:
                self._lower(narrowed(spec, name))
        return plan

    def _lower(self, spec: Spec) -> Plan:
        if self.left <= 0:
            raise ShapeError(
                Diagnostic(
                    "NS316",
                    f"the variants and targets have more than {4 * MAX_NODES:,} nodes together",
                    spec.place(("variants",)).key or spec.place(("targets",)).key,
                    "checking stopped on the way",
                    help=("check one at a time: `--variant NAME`",),
                    path="variants",
                )
            )
        nodes = MAX_NODES // 4  # what a spec that is refused counts for
        try:
            plan = lower(spec)
            nodes = len(plan.nodes)
        finally:
            self.left -= nodes
        return plan


def summary(spec: Spec) -> Summary:
    """What the network costs, per stage and in total, without building it."""
    return summarise(lower(spec))


def build(
    spec: Spec | Plan,
    *,
    outputs: Sequence[str] = (),
    device: str | torch.device = "cpu",
    dtype: torch.dtype | None = None,
    seed: int = 0,
    checkpoint: bool | Collection[str] = False,
) -> Model:
    """The network as a `torch.fx.GraphModule`: one line per node, ordinary modules inside.

    Args:
        outputs: the part of the network that makes these, in this order; all by default. A part takes only the inputs
            that it needs, keeps the names of the whole network's weights, and loads them from its files. With one
            output the network returns a tensor, with several a tuple.
        device: where parameters live; `meta` allocates nothing.
        dtype: of parameters and buffers, float32 by default.
        seed: of the initial weights.
        checkpoint: gradient checkpointing of all nodes, or of those named.

    Raises SpecError; UnknownName (NS216) for an output that the network does not have.
    """
    import torch

    from netspec import graph

    plan = spec if isinstance(spec, Plan) else lower(spec)
    if outputs:
        plan = plan.only(outputs)
    return graph.build(plan, device=device, dtype=dtype or torch.float32, seed=seed, checkpoint=checkpoint)


def load_weights(model: Model, weights: Weights, layout: str | Layout = "auto", *, ema: bool = False) -> Reading:
    """Fill a model with a checkpoint: a file, the index or folder of one in shards, a dictionary.

    `layout` says whose keys it has: `auto` tells from the keys, or `netspec`, `diffusers`, `ldm`, `dit` …; `ema` takes
    the averaged weights of a file that holds both. Returns how the file was read.
    Raises WeightsError with one line per kind of block that does not fit; the model is then unchanged.
    """
    from netspec.weights import load as loading

    return loading.load_weights(model, weights, layout, ema=ema)


def save_weights(model: Model, path: PathLike, layout: str | Layout = "netspec") -> None:
    """Write a model's weights as safetensors. In our own layout the file holds the spec and rebuilds the network:
    `netspec.build(netspec.load(path))`, then `netspec.load_weights`.
    """
    from netspec.weights import load as loading

    loading.save_weights(model, path, layout)
