"""verify(): is a bundle still what was built? Hashes, structure, parity, in this order."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from netspec import proof
from netspec.bundle import Manifest
from netspec.compiler import read_spec
from netspec.deployment import WEIGHTS, Deployment, deployments
from netspec.errors import Diagnostic, ExportError, WeightsError
from netspec.planner import lower


@dataclass(frozen=True)
class Check:
    """One thing that holds, in words."""

    name: str
    result: str


def verify(
    folder: str | os.PathLike[str],
    *,
    parity: bool = True,
    progress: Callable[[str, str], None] = lambda step, detail: None,
) -> list[Check]:
    """Everything about a bundle that can be proven here.

    Raises WeightsError for a file that is missing, changed, truncated or new, ExportError for a graph that is no
    longer valid, ParityError where PyTorch disagrees.
    """
    progress("verify", "hashes")
    manifest = Manifest.read(folder)
    findings = manifest.check_files(folder)
    if not manifest.is_intact(folder):
        findings.insert(0, Diagnostic("NS611", "manifest.json has changed since it was written"))
    if findings:
        raise WeightsError(*findings)
    checks = [Check("files", f"{len(manifest.files)} files are as built")]
    progress("verify", "structure")
    spec = read_spec(folder)
    if spec.sha256 != manifest.spec_sha256:
        raise WeightsError(Diagnostic("NS618", "spec.yaml is not the spec that the manifest names"))
    plan = lower(spec)
    checks.append(Check("spec", f"{plan.cost.params:,} parameters, as the manifest says"))
    for deployment in deployments(plan, list(manifest.targets), making=False):
        checks += _target(Path(folder), deployment, manifest, parity, progress)
    return checks


def _target(
    folder: Path, deployment: Deployment, manifest: Manifest, again: bool, progress: Callable[[str, str], None]
) -> list[Check]:
    """One target's files: still valid, and still equal to PyTorch."""
    name, exporter, main = deployment.name, deployment.exporter, folder / deployment.file
    if why := exporter.missing():
        return [Check(name, f"not checked: {why}")]
    others = sorted(folder / path for path in manifest.files if path.startswith(f"{deployment.folder}/"))
    files = (main, *(path for path in others if path != main))
    weights = (folder / WEIGHTS).exists()
    request = replace(deployment.request, source=folder / WEIGHTS if weights else None)
    if findings := tuple(exporter.ensures(request, files)):
        raise ExportError(*findings)
    checks = [Check(name, f"{deployment.file} is valid")]
    if not again or not weights:
        return [*checks, Check(name, "parity not run: " + ("there are no weights" if again else "not asked for"))]
    fresh = manifest.recipe["weights"].startswith("random")
    outcome = proof.prove(deployment, folder, fresh=fresh, progress=lambda detail: progress("parity", detail))
    if outcome.rows:
        worst = max(row.max_rel for row in outcome.rows)
        points = {(tuple(row.sizes.items()), row.timestep) for row in outcome.rows}
        checks.append(Check(name, f"parity at {len(points)} points, largest relative difference {worst:.1e}"))
    return [*checks, *(Check(name, f"parity not run at {point}") for point in outcome.skipped)]
