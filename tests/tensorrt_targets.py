"""What the tests of the `tensorrt` target share: a target as a spec has it, and the folder that it becomes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx

from netspec import api
from netspec.deployment import Deployment, deployments
from netspec.spec import Spec

ROOT = Path(__file__).parent.parent
TINY = ROOT / "specs" / "tiny"
DIMS = {"batch": {"min": 1, "opt": 2, "max": 2}, "height": 8, "width": {"min": 8, "opt": 10, "max": 12}}
FILES = {
    "build.json", "build_engine.py", "build_engine.sh", "gate.json", "model.onnx", "model.safetensors",
    "ort_tensorrt.json", "parity.safetensors", "precision.txt", "profile.json", "run_engine.py",
}  # fmt: skip


def target(precision: Any = "fp16", **options: Any) -> dict[str, Any]:
    return {"exporter": "tensorrt", "precision": precision, "dims": DIMS, **options}


def loaded(name: str, **targets: Any) -> Spec:
    return api.load(TINY / f"{name}.yaml", set={"targets": targets})


def deployed(name: str, **targets: Any) -> list[Deployment]:
    return deployments(api.lower(loaded(name, **targets)), list(targets))


def exported(folder: Path, name: str = "dit", **targets: Any) -> Path:
    """One target's folder without weights."""
    (deployment,) = deployed(name, **targets)
    deployment.exporter.run(deployment.request, folder)
    return folder


def graph(folder: Path) -> onnx.ModelProto:
    return onnx.load(folder / "model.onnx", load_external_data=False)
