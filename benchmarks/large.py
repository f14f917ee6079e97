"""a transformer of 12 billion parameters: shown, and built without weights"""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks.process import netspec, quiet

SPEC = "specs/dit/flux_dev.yaml"


def main() -> None:
    quiet()
    shown = netspec("show", SPEC)
    print(f"netspec show                         {shown.seconds:6.2f} s  peak {shown.megabytes:6.0f} MB")
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        built = netspec("build", SPEC, "--weights", "none", "--no-parity", "-o", f"{folder}/bundle")
    print(f"netspec build --weights none, whole  {built.seconds:6.2f} s  peak {built.megabytes:6.0f} MB")
