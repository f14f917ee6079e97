"""the first command of the README, after installation"""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks.process import netspec


def main() -> None:
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        for spec in ("specs/unet/ddpm_cifar10.yaml", "specs/tiny/unet.yaml", "specs/tiny/dit.yaml"):
            run = netspec("build", spec, "-o", f"{folder}/{Path(spec).stem}")
            print(f"netspec build {spec:<32} {run.seconds:5.1f} s with parity, peak {run.megabytes:.0f} MB")
