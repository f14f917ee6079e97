"""1,000 different variants of SD 1.5, resolved, validated, planned and costed in one process"""

from __future__ import annotations

import time
from itertools import islice, product

import netspec


def main(count: int = 1000) -> None:
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
