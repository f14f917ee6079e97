"""compile(): a spec → a verified bundle. Orders the steps; each step is a module of its own."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from netspec import __version__, graph, proof
from netspec import spec as specs
from netspec.analysis import summarise, tables
from netspec.bundle import Manifest, ParityRow, Port, file_entries, open_bundle
from netspec.embedded import SPEC_KEY
from netspec.errors import Diagnostic, UnknownName, WeightsError
from netspec.plan import Plan
from netspec.planner import lower
from netspec.planner.points import multiples
from netspec.spec import Spec
from netspec.spec import Target as Wanted
from netspec.target import ExportRequest, Slot, Target, find
from netspec.target import Port as GraphPort
from netspec.weights import store
from netspec.weights.aligned import AlignedLayout
from netspec.weights.files import sha256_file

DTYPES = {"fp32": torch.float32, "fp16": torch.float16}
Progress = Callable[[str, str], None]


@dataclass(frozen=True)
class Options:
    """What a build is told besides the spec. `weights` is `random`, `none` or a checkpoint with keys of `layout`."""

    weights: str = "random"
    layout: str = "netspec"
    seed: int = 0
    targets: tuple[str, ...] = ()  # all of the spec's, if empty
    force: bool = False
    parity: bool = True


@dataclass(frozen=True)
class Result:
    """A finished build. `fresh` says that the bundle was already there and nothing was done."""

    folder: Path
    manifest: Manifest
    plan: Plan
    fresh: bool = False
    skipped: tuple[str, ...] = ()  # parity points that the budget left out, or why there was no parity


def compile(
    spec: Spec, folder: str | os.PathLike[str], options: Options, progress: Progress = lambda step, detail: None
) -> Result:
    """Build every wanted target of a spec into a bundle, verify it, and move it to `folder` as a whole.

    Raises SpecError, ExportError, WeightsError, ParityError or UsageError; `folder` is then what it was before.
    """
    progress("plan", spec.name)
    plan = lower(spec)
    wanted = _wanted(spec, options.targets)
    recipe = _recipe(options, wanted)
    present = _present(folder, spec, recipe)
    if present is not None and not options.force:
        return Result(Path(folder), present, plan, fresh=True)
    with open_bundle(folder, force=options.force) as place:
        build = _Build(plan, place, options, progress)
        build.write_texts()
        for name, target in wanted.items():
            build.export(name, target)
        manifest = build.finish(recipe)
    return Result(Path(folder), manifest, plan, skipped=tuple(build.skipped))


def bind(folder: str | os.PathLike[str], weights: str, progress: Progress = lambda step, detail: None) -> Result:
    """Give a bundle other weights: the same graphs, the new numbers, parity and manifest anew."""
    manifest = Manifest.read(folder)
    spec = read_spec(folder)
    targets = tuple(manifest.recipe.get("targets", "").split())
    return compile(spec, folder, Options(weights=weights, targets=targets, force=True), progress)


def read_spec(folder: str | os.PathLike[str]) -> Spec:
    """The resolved spec of a bundle."""
    from netspec import api

    return api.load(Path(folder, "spec.yaml"))


class _Build:
    """One build in its temporary folder."""

    def __init__(self, plan: Plan, folder: Path, options: Options, progress: Progress) -> None:
        self.plan, self.folder, self.options, self.progress = plan, folder, options, progress
        self.hashes: dict[str, str] = {}
        self.rows: list[ParityRow] = []
        self.skipped: list[str] = []

    def write_texts(self) -> None:
        """spec.yaml and plan.txt."""
        (self.folder / "spec.yaml").write_text(specs.text(self.plan.spec), encoding="utf-8")
        table = tables.text(summarise(self.plan))
        (self.folder / "plan.txt").write_text(f"{table}\n{self.plan.text()}", encoding="utf-8")

    def export(self, name: str, wanted: Wanted) -> None:
        """The weights of one target's precision, its graph, and the parity of both."""
        dtype = _dtype(name, wanted)
        target = exporter(self.plan.spec, name, wanted)
        model = graph.build(self.plan, device="meta", dtype=dtype).eval()
        layout = store.layout_of(self.plan, model)
        weights = self.folder / weights_name(wanted.precision)
        self._write_weights(model, layout, weights, dtype)
        self.progress("export", name)
        request = request_for(self.plan, model, layout, weights.name, graph_name(name))
        files = target.run(request, self.folder)
        self._verify(target, files[0], model, weights, wanted.precision)

    def _write_weights(self, model: graph.Model, layout: AlignedLayout, path: Path, dtype: torch.dtype) -> None:
        if self.options.weights == "none" or path.exists():
            return

        def report(detail: str) -> None:
            self.progress("weights", detail)

        if self.options.weights == "random":
            digest = store.write_random(self.plan, layout, path, seed=self.options.seed, dtype=dtype, progress=report)
        else:
            source, rules = self.options.weights, self.options.layout
            digest = store.write_from(model, layout, source, path, rules=rules, progress=report)
        self.hashes[path.name] = digest

    def _verify(self, target: Target, file: Path, model: graph.Model, weights: Path, precision: str) -> None:
        if not self.options.parity or not weights.exists():
            self.skipped.append("all: parity is off" if weights.exists() else "all: there are no weights")
            return
        outcome = proof.prove(
            self.plan,
            target.runner,
            file,
            model,
            weights,
            precision=precision,
            fresh=self.options.weights == "random",
            progress=lambda detail: self.progress("parity", detail),
        )
        self.rows += outcome.rows
        self.skipped += outcome.skipped

    def finish(self, recipe: Mapping[str, str]) -> Manifest:
        """manifest.json, from what was written."""
        self.progress("manifest", "")
        spec = self.plan.spec
        manifest = Manifest(
            name=spec.name,
            spec_sha256=spec.sha256,
            params=self.plan.cost.params,
            inputs=tuple(Port(p.name, _dtype_text(p.dtype), p.shape) for p in _inputs(self.plan, torch.float32)),
            outputs=tuple(Port(p.name, _dtype_text(p.dtype), p.shape) for p in _outputs(self.plan, torch.float32)),
            files=file_entries(self.folder, self.hashes),
            parity=tuple(self.rows),
            tools=tools(),
            recipe=dict(recipe),
            version=__version__,
        )
        manifest.write(self.folder)
        return manifest


def weights_name(precision: str) -> str:
    """The weights file of one precision; targets of one precision share it."""
    return "model.safetensors" if precision == "fp32" else f"model.{precision}.safetensors"


def graph_name(target: str) -> str:
    """The stem of a target's graph: the plain `onnx` target is the bundle's `model`."""
    return "model" if target == "onnx" else target


def request_for(
    plan: Plan, model: graph.Model, layout: AlignedLayout, location: str, file_name: str = "model"
) -> ExportRequest:
    """What an exporter needs to know of a plan: ports, weights by reference, origins, the resolved spec."""
    dtype = next((p.dtype for p in model.parameters()), torch.float32)
    return ExportRequest(
        model=model,
        inputs=_inputs(plan, dtype),
        outputs=_outputs(plan, dtype),
        name=plan.spec.name,
        file_name=file_name,
        weights={name: Slot(location, offset, length) for name, (offset, length) in layout.places.items()},
        multiples=multiples(plan),
        origins={node.name: node.origin for node in plan},
        metadata={SPEC_KEY: specs.text(plan.spec)},
    )


def _inputs(plan: Plan, dtype: torch.dtype) -> list[GraphPort]:
    return [
        GraphPort(name, plan.spec.inputs[name].shape, getattr(torch, type_.dtype) if type_.dtype else dtype)
        for name, type_ in plan.inputs.items()
    ]


def _outputs(plan: Plan, dtype: torch.dtype) -> list[GraphPort]:
    return [GraphPort(name, value.shape, dtype) for name, value in plan.spec.outputs.items()]


def _dtype_text(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _wanted(spec: Spec, names: Sequence[str]) -> dict[str, Wanted]:
    for name in names:
        if name not in spec.targets:
            known = ", ".join(spec.targets)
            raise UnknownName(Diagnostic("NS212", f"the spec has no target `{name}`", help=(f"targets: {known}",)))
    return {name: target for name, target in spec.targets.items() if not names or name in names}


def exporter(spec: Spec, name: str, wanted: Wanted) -> Target:
    """The target's exporter with the options that the spec gives it."""
    place = spec.place(("targets", name, "exporter"))
    written = spec.document is not None and ("targets", name) in spec.document.places
    cls = find(wanted.exporter, place.value if written else None)
    try:
        return cls(**wanted.options)
    except TypeError as error:
        unknown = ", ".join(f"`{option}`" for option in wanted.options)
        raise UnknownName(
            Diagnostic(
                "NS213",
                f"exporter `{wanted.exporter}` does not take {unknown}",
                spec.place(("targets", name)).key,
                notes=(str(error).rpartition(": ")[2],),
            )
        ) from error


def _dtype(name: str, wanted: Wanted) -> torch.dtype:
    if wanted.precision not in DTYPES:
        raise UnknownName(
            Diagnostic(
                "NS214",
                f"target `{name}`: exporter `{wanted.exporter}` has no precision {wanted.precision}",
                help=(f"it has {', '.join(DTYPES)}",),
            )
        )
    return DTYPES[wanted.precision]


def _recipe(options: Options, wanted: Mapping[str, Wanted]) -> dict[str, str]:
    """What a bundle is made from besides the spec: equal recipes give equal bundles."""
    match options.weights:
        case "random":
            weights = f"random, seed {options.seed}"
        case "none":
            weights = "none"
        case path:
            if not Path(path).is_file():
                raise WeightsError(Diagnostic("NS607", f"cannot read {path}: no such file"))
            weights = f"sha256 {sha256_file(path)}"
    return {"weights": weights, "targets": " ".join(wanted), "parity": "on" if options.parity else "off"}


def _present(folder: str | os.PathLike[str], spec: Spec, recipe: Mapping[str, str]) -> Manifest | None:
    """The manifest of a bundle that this build would write again."""
    try:
        manifest = Manifest.read(folder)
    except WeightsError:
        return None
    same = manifest.spec_sha256 == spec.sha256 and manifest.recipe == dict(recipe) and manifest.tools == tools()
    whole = all(_has_size(Path(folder, path), entry.bytes) for path, entry in manifest.files.items())
    return manifest if same and whole else None


def _has_size(path: Path, size: int) -> bool:
    return path.is_file() and path.stat().st_size == size


def tools() -> dict[str, str]:
    """Versions that decide what a build writes."""
    found = {"python": platform.python_version(), "netspec": __version__}
    for name in ("torch", "onnx", "onnx-ir", "onnxruntime", "onnxruntime-gpu", "safetensors", "numpy"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
