"""`netspec weights convert` of files of several sizes: peak memory is that of the largest group of tensors"""

from __future__ import annotations

import math
import tempfile
from pathlib import Path

from benchmarks.process import netspec
from netspec import api
from netspec.weights import layouts
from netspec.weights.aligned import AlignedLayout, TensorInfo

SPEC = "specs/dit/flux_dev.yaml"
CASES = ({"dit.depth": 1, "dit.single_depth": 2}, {"dit.depth": 4, "dit.single_depth": 8})  # blocks of FLUX.1-dev
LAYOUTS = ("flux", "diffusers")


def sparse(path: Path, settings: dict[str, int]) -> int:
    """A file of the first layout in bf16 whose numbers are holes: it costs no disk. Returns its size in bytes."""
    entries = layouts.find(LAYOUTS[0]).entries(api.lower(api.load(SPEC, set=settings)))
    infos = [
        TensorInfo(key, "BF16", shape)
        for entry in entries
        for key, shape in zip(entry.foreign, entry.foreign_shapes, strict=True)
    ]
    layout = AlignedLayout.plan(infos, {}, alignment=1)
    with path.open("wb") as file:
        file.write(layout.header)
        file.truncate(layout.size)
    largest = max(sum(2 * math.prod(shape) for shape in entry.shapes) for entry in entries)
    print(f"{layout.size / 1e9:5.1f} GB, largest group {largest / 1e6:.0f} MB")
    return layout.size


def main() -> None:
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        for case in CASES:
            source, target = Path(folder, "source.safetensors"), Path(folder, "target.safetensors")
            sparse(source, case)
            settings = [word for path, value in case.items() for word in ("--set", f"{path}={value}")]
            for to in (LAYOUTS[1], "netspec"):
                done = netspec("weights", "convert", str(source), str(target), "--to", to, "--spec", SPEC, *settings)
                print(f"  to {to:10} {done.seconds:6.1f} s  peak {done.megabytes:6.0f} MB")
                target.unlink()
