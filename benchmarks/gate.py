"""the TensorRT gate on large networks, built without weights: verdict, time to write and judge the folder, memory"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from benchmarks.process import netspec, quiet

SPECS = {  # network → the arguments that choose it
    "SD 1.5": ["specs/unet/sd15.yaml"],
    "SDXL": ["specs/unet/sdxl.yaml"],
    "DiT-XL/2": ["specs/dit/dit_xl_2.yaml"],
    "SD3": ["specs/dit/sd3_medium.yaml"],
    "FLUX": ["specs/dit/flux_dev.yaml"],
    "VAE decoder": ["specs/autoencoder/kl_f8.yaml", "--set", "targets.gpu.outputs=[decoded]"],
}
PRECISIONS = ("fp16", "bf16")


def main() -> None:
    quiet()
    for name, spec in SPECS.items():
        for precision in PRECISIONS:
            judge(name, spec, precision)


def judge(name: str, spec: list[str], precision: str) -> None:
    """One line: whether each version takes the graph."""
    target = ["--set", "targets.gpu.exporter=tensorrt", "--set", f"targets.gpu.precision={precision}"]
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        built = netspec("build", *spec, *target, "--target", "gpu", "--weights", "none", "-o", f"{folder}/bundle")
        report = json.loads(Path(folder, "bundle", "gpu", "gate.json").read_text(encoding="utf-8"))
    verdicts = ", ".join(f"{gate['target']} {'PASS' if gate['passed'] else 'FAIL'}" for gate in report["gates"])
    warnings = {each["code"] for gate in report["gates"] for each in gate["findings"]}
    noted = f"  warnings {', '.join(sorted(warnings))}" if warnings else ""
    print(f"{name:<12} {precision}  {verdicts}  {built.seconds:5.1f} s  {built.megabytes:5.0f} MB{noted}", flush=True)
