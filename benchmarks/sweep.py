"""1,000 different variants of SD 1.5 in one process, text and all; 10,000 points of `netspec sweep` in several"""

from __future__ import annotations

import subprocess
import sys
import time
from itertools import islice, product

import netspec

AXES = {
    "unet.levels[0].channels": (64, 128, 192, 256, 320),
    "unet.blocks_per_level": (1, 2, 3, 4),
    "unet.mid.transformer": (1, 2, 3, 4, 5),
    "unet.transformer.num_heads": (2, 4, 8, 16),
    "unet.transformer.mlp_ratio": (2, 3, 4, 5, 6),
    "dims.batch.opt": (1, 2, 3, 4, 8),
}


def main(count: int = 1000) -> None:
    _variants(count)
    _points()


def _variants(count: int) -> None:
    netspec.load("specs/unet/sd15.yaml")  # imports
    grid = product((64, 128, 192, 256, 320), (1, 2, 3, 4), (1, 2, 3), (2, 4, 8), (1, 2, 4), (2, 3))
    text = open("specs/unet/sd15.yaml").read()  # noqa: SIM115  # read once, as a sweep would
    started = time.perf_counter()
    plans = {}
    for base, blocks, depth, heads, batch, mlp in islice(grid, count):
        spec = netspec.loads(
            text,
            set={
                "unet.levels[0].channels": base,
                "unet.levels[1].channels": 2 * base,
                "unet.levels[2].channels": 4 * base,
                "unet.levels[3].channels": 4 * base,
                "unet.blocks_per_level": blocks,
                "unet.mid.transformer": depth,
                "unet.transformer.num_heads": heads,
                "unet.transformer.mlp_ratio": mlp,
                "dims.batch.opt": batch,
            },
        )
        plans[spec] = netspec.lower(spec).cost
    seconds = time.perf_counter() - started
    print(f"{len(plans)} variants in {seconds:.2f} s, {1e3 * seconds / len(plans):.2f} ms each, YAML parsed each time")


def _points() -> None:
    """The command as a person runs it, cold, on as many processors as there are."""
    axes = [word for path, values in AXES.items() for word in ("--set", f"{path}={','.join(map(str, values))}")]
    command = [sys.executable, "-m", "netspec", "sweep", "specs/unet/sd15.yaml", *axes, "--format", "csv"]
    started = time.perf_counter()
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    seconds, rows = time.perf_counter() - started, len(done.stdout.splitlines()) - 1
    print(f"{rows:,} points in {seconds:.1f} s, {1e3 * seconds / rows:.2f} ms each, figures and front")
