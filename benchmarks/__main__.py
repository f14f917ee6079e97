"""python -m benchmarks [NAME…]: run benchmarks and print what they measure."""

from __future__ import annotations

import sys
from importlib import import_module

NAMES = ("commands", "sweep", "emission", "large", "random_weights", "latency", "first_build", "conversion")

for name in sys.argv[1:] or NAMES:
    print(f"== {name}: {import_module(f'benchmarks.{name}').__doc__}", flush=True)
    import_module(f"benchmarks.{name}").main()
