"""compile(): a spec → a verified bundle. Orders the steps; each step is a module of its own."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from netspec import __version__, graph, proof, report
from netspec import spec as specs
from netspec.analysis import summarise, tables
from netspec.bundle import Manifest, ParityRow, Port, TargetEntry, file_entries, file_entry, open_bundle
from netspec.deployment import WEIGHTS, Deployment, deployments, inputs, outputs
from netspec.errors import Diagnostic, WeightsError
from netspec.plan import Plan
from netspec.planner import lower
from netspec.report import Notes
from netspec.report import bundle as reports
from netspec.spec import Spec
from netspec.target import Port as GraphPort
from netspec.weights import store
from netspec.weights.checkpoint import checkpoint_sha256

Progress = Callable[[str, str], None]


@dataclass(frozen=True)
class Options:
    """What a build is told besides the spec. `weights` is `random`, `none` or a checkpoint with keys of `layout`, from
    which `ema` takes the averaged weights."""

    weights: str = "random"
    layout: str = "auto"
    ema: bool = False
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
    remarks: tuple[str, ...] = ()  # how the checkpoint was read, where it was not simply this network's


def compile(
    network: Spec | Plan,
    folder: str | os.PathLike[str],
    options: Options,
    progress: Progress = lambda step, detail: None,
) -> Result:
    """Build every wanted target of a spec or plan into a bundle, verify it, and move it to `folder` as a whole.

    Raises SpecError, ExportError, WeightsError, ParityError or UsageError; `folder` is then what it was before.
    """
    spec = network.spec if isinstance(network, Plan) else network
    progress("plan", spec.name)
    plan = network if isinstance(network, Plan) else lower(spec)
    notes = report.Notes.of(plan)
    wanted = deployments(plan, options.targets, weights=options.weights != "none")
    recipe = _recipe(notes, options)
    _check_source(options)
    present = None if options.force else _present(folder, spec, wanted, recipe, options)
    if present is not None:
        return Result(Path(folder), present, plan, fresh=True)
    return _write(plan, notes, folder, options, wanted, recipe, progress)


def bind(
    folder: str | os.PathLike[str],
    weights: str | os.PathLike[str],
    layout: str = "auto",
    progress: Progress = lambda step, detail: None,
    *,
    ema: bool = False,
) -> Result:
    """Give a bundle other weights: the same graphs, the new numbers, parity and manifest anew.

    Raises WeightsError where the file does not fit or the bundle's graphs are not those that were built, ParityError;
    the bundle is then what it was before.
    """
    manifest = Manifest.read(folder)
    if changed := manifest.check_files(folder, lambda path: not path.endswith(".safetensors")):
        raise WeightsError(*changed)
    plan, notes = reports.source(folder, manifest)
    wanted = deployments(plan, list(manifest.targets))
    source = os.path.join(os.curdir, weights)  # `none` is a file here
    options = Options(weights=source, layout=layout, ema=ema, force=True)
    _check_source(options)
    recipe = manifest.recipe | {"parity": "on"}
    return _write(plan, notes, folder, options, wanted, recipe, progress, kept=Path(folder).resolve())


def _write(
    plan: Plan,
    notes: Notes,
    folder: str | os.PathLike[str],
    options: Options,
    wanted: Sequence[Deployment],
    recipe: Mapping[str, str],
    progress: Progress,
    kept: Path | None = None,
) -> Result:
    with open_bundle(folder, force=options.force) as place:
        build = _Build(plan, place, options, progress)
        build.write_texts()
        build.write_weights()
        for deployment in wanted:
            build.export(deployment, kept)
        manifest = build.finish(recipe, wanted, notes)
    skipped = tuple(dict.fromkeys(reason for reasons in build.unproven.values() for reason in reasons))
    return Result(Path(folder), manifest, plan, skipped=skipped, remarks=tuple(build.remarks))


def read_spec(folder: str | os.PathLike[str]) -> Spec:
    """The resolved spec of a bundle."""
    from netspec import api

    return api.load(Path(folder, "spec.yaml"))


class _Build:
    """One build in its temporary folder."""

    def __init__(self, plan: Plan, folder: Path, options: Options, progress: Progress) -> None:
        self.plan, self.folder, self.options, self.progress = plan, folder, options, progress
        self.hashes: dict[str, str] = {}
        self.source: Path | None = None  # the network's weights, once written
        self.source_hash: str | None = None  # of the checkpoint, where copying it told
        self.remarks: dict[str, None] = {}  # how it was read, each said once
        self.rows: list[ParityRow] = []
        self.unproven: dict[str, tuple[str, ...]] = {}  # by target

    def write_texts(self) -> None:
        """spec.yaml and plan.txt."""
        (self.folder / "spec.yaml").write_text(specs.text(self.plan.spec), encoding="utf-8")
        table = tables.text(summarise(self.plan))
        (self.folder / "plan.txt").write_text(f"{table}\n{self.plan.text()}", encoding="utf-8")

    def write_weights(self) -> None:
        """model.safetensors, float32: what PyTorch loads, and what targets make theirs of."""
        if self.options.weights == "none":
            return

        def report(detail: str) -> None:
            self.progress("weights", detail)

        given, path = self.options, self.folder / WEIGHTS
        network = graph.build(self.plan, device="meta").eval()
        layout = store.layout_of(self.plan, network)
        if given.weights == "random":
            digest = store.write_random(self.plan, layout, path, seed=given.seed, progress=report)
        else:
            written = store.write_from(
                network, layout, given.weights, path, rules=given.layout, ema=given.ema, progress=report
            )
            digest, self.source_hash = written.sha256, written.sha256 if written.copied else None
            self.remarks |= dict.fromkeys(written.remarks)
        self.hashes[path.name] = digest
        self.source = path

    def export(self, deployment: Deployment, kept: Path | None) -> None:
        """The files of one target, made anew or from those of the bundle `kept`, and their parity."""
        self.progress("export", deployment.name)
        request = replace(deployment.request, source=self.source)
        folder = self.folder / deployment.folder
        folder.mkdir(exist_ok=True)
        if kept is None:
            deployment.exporter.run(request, folder)
        else:
            deployment.exporter.rebind(request, kept / deployment.folder, folder)
        self._verify(deployment)

    def _verify(self, deployment: Deployment) -> None:
        if not self.options.parity or self.source is None:
            self.unproven[deployment.name] = ("all: parity is off" if self.source else "all: there are no weights",)
            return
        outcome = proof.prove(
            deployment,
            self.folder,
            fresh=self.options.weights == "random",
            scratch=self.folder,
            progress=lambda detail: self.progress("parity", detail),
        )
        self.rows += outcome.rows
        self.unproven[deployment.name] = outcome.skipped
        if outcome.rows:
            proof.ship(deployment, self.folder)

    def finish(self, recipe: Mapping[str, str], wanted: Sequence[Deployment], notes: Notes) -> Manifest:
        """report.html and manifest.json, from what was written."""
        self.progress("manifest", "")
        spec = self.plan.spec
        manifest = Manifest(
            name=spec.name,
            spec_sha256=spec.sha256,
            params=self.plan.cost.params,
            inputs=tuple(map(_port, inputs(self.plan, torch.float32))),
            outputs=tuple(map(_port, outputs(self.plan, torch.float32))),
            files=file_entries(self.folder, self.hashes),
            targets={each.name: _entry(each) for each in wanted},
            parity=tuple(self.rows),
            tools=tools(),
            recipe={**recipe, "weights": _weights(self.options, self.source_hash)},
            version=__version__,
        )
        notes = replace(notes, unproven=self.unproven, remarks=tuple(self.remarks))
        page = report.html(self.plan, notes, report.Built(manifest, self.folder)).encode()
        (self.folder / reports.FILE).write_bytes(page)
        manifest = replace(manifest, files={**manifest.files, reports.FILE: file_entry(page)})
        manifest.write(self.folder)
        return manifest


def _entry(deployment: Deployment) -> TargetEntry:
    exporter = deployment.exporter
    return TargetEntry(exporter.name, deployment.precision.name, deployment.file, exporter.stamped)


def _port(port: GraphPort) -> Port:
    return Port(port.name, str(port.dtype).removeprefix("torch."), port.shape)


def _recipe(notes: Notes, options: Options) -> dict[str, str]:
    """What a bundle is made from besides the spec's choices, targets and weights: equal recipes give equal bundles."""
    return {
        "parity": "on" if options.parity else "off",
        "source": notes.sha256[:16],  # graphs and the report name its lines: a comment more, and all of them move
    }


def _check_source(options: Options) -> None:
    """A checkpoint that is not there is told before anything is written."""
    if options.weights not in ("random", "none") and not Path(options.weights).exists():
        raise WeightsError(Diagnostic("NS607", f"cannot read {options.weights}: no such file"))


def _weights(options: Options, known: str | None = None) -> str:
    """The recipe's word for the weights; a checkpoint is named by its content, whose hash may be `known`, and by how it
    was read."""
    match options.weights:
        case "random":
            return f"random, seed {options.seed}"
        case "none":
            return "none"
        case path:
            told = f" as {options.layout}" if options.layout != "auto" else ""
            return f"sha256 {known or checkpoint_sha256(path)}{told}{', ema' if options.ema else ''}"


def _present(
    folder: str | os.PathLike[str],
    spec: Spec,
    wanted: Sequence[Deployment],
    recipe: Mapping[str, str],
    options: Options,
) -> Manifest | None:
    """The manifest of a bundle that this build would write again."""
    try:
        manifest = Manifest.read(folder)
    except WeightsError:
        return None
    same = manifest.spec_sha256 == spec.sha256 and manifest.tools == tools()
    same = same and {**manifest.recipe, **recipe} == manifest.recipe
    same = same and manifest.targets.keys() == {deployment.name for deployment in wanted}
    whole = manifest.is_intact(folder) and all(
        _has_size(Path(folder, path), entry.bytes) for path, entry in manifest.files.items()
    )
    if not (same and whole):
        return None
    return manifest if manifest.recipe.get("weights") == _weights(options) else None  # last: it may read gigabytes


def _has_size(path: Path, size: int) -> bool:
    return path.is_file() and path.stat().st_size == size


_TOOLS = (
    "torch", "onnx", "onnx-ir", "onnxruntime", "onnxruntime-gpu", "safetensors", "numpy", "openvino", "nncf",
    "executorch",
)  # fmt: skip


def tools() -> dict[str, str]:
    """Versions that decide what a build writes."""
    found = {"python": platform.python_version(), "netspec": __version__}
    for name in _TOOLS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
