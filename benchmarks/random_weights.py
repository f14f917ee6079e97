"""SD 1.5 with 3.4 GB of random weights, without and with parity; binding existing weights"""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks.process import measured, netspec

SPEC = "specs/unet/sd15.yaml"


def main() -> None:
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        first = netspec("build", SPEC, "--no-parity", "-o", f"{folder}/a")
        print(f"random weights, no parity     {first.seconds:6.1f} s  peak {first.megabytes:6.0f} MB")
        plain = measured(
            f"import time; data = bytes(1 << 24); started = time.perf_counter()\n"
            f"with open({folder!r} + '/plain', 'wb') as file:\n"
            f"    for _ in range(205): file.write(data)\n"
            f"    import os; file.flush(); os.fsync(file.fileno())\n"
            f"print(time.perf_counter() - started)"
        )
        print(f"writing 3.4 GB of zeros        {float(plain.output):6.1f} s")
        given = netspec("build", SPEC, "--no-parity", "--weights", f"{folder}/a/model.safetensors", "-o", f"{folder}/b")
        print(f"aligned weights, no parity    {given.seconds:6.1f} s  peak {given.megabytes:6.0f} MB")
