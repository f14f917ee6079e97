"""A target made of a spec without the rest of a bundle: weights that hide nothing, its files, its proof."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from netspec import graph, parity, planner
from netspec.bundle import ParityRow
from netspec.deployment import Deployment, deployments
from netspec.spec import Spec
from netspec.target import ExportRequest
from netspec.weights import store
from netspec.weights.probe import write_probe

# One block at a fixed size: compilers take most of their time for what is there at all.
SMALL = """
netspec: 1
name: small
inputs: {x: [batch, 2, size, size], t: [batch]}
output: [batch, 2, size, size]
dims: {batch: 1, size: 4}
conditioning: {t: {embed: sinusoidal, dim: 8}}
dit: {patch_size: 2, hidden_size: 16, depth: 1, num_heads: 2}
targets: {edge: {exporter: %s}}
"""


@dataclass(frozen=True)
class Exported:
    """One target and where its files are."""

    deployment: Deployment
    request: ExportRequest
    folder: Path
    files: tuple[Path, ...]

    def parity(self) -> tuple[ParityRow, ...]:
        """The proof that a build would run on these files. Raises ParityError."""
        deployment, source = self.deployment, self.request.source
        assert source is not None
        store.fill(deployment.model, source)
        return parity.verify(
            deployment.plan,
            deployment.model,
            deployment.exporter.runner(self.files[0]),
            precision=deployment.precision,
            tolerance=deployment.exporter.tolerance(self.request),
        ).rows


def requested(spec: Spec, folder: Path) -> tuple[Deployment, ExportRequest]:
    """The spec's target `edge`, and a request with weights in `folder`."""
    plan = planner.lower(spec)
    (deployment,) = deployments(plan, ["edge"])
    random, probe = folder / "random.safetensors", folder / "probe.safetensors"
    layout = store.layout_of(plan, graph.build(plan, device="meta"))
    store.write_random(plan, layout, random, seed=0, progress=lambda name: None)
    write_probe(deployment.model, random, probe)
    return deployment, replace(deployment.request, source=probe)


def exported(spec: Spec, folder: Path) -> Exported:
    """Run the exporter of the spec's target `edge`."""
    deployment, request = requested(spec, folder)
    own = folder / "target"
    own.mkdir()
    return Exported(deployment, request, own, deployment.exporter.run(request, own))
