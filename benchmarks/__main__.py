"""python -m benchmarks [NAME [WORD…]…]: run benchmarks and print what they measure; words are a benchmark's own."""

from __future__ import annotations

import sys
from importlib import import_module

NAMES = (
    "commands", "sweep", "emission", "large", "random_weights", "first_build", "conversion", "gate",
    "deployment", "transforms", "quantization", "openvino",
)  # fmt: skip

wanted: list[tuple[str, list[str]]] = []
for word in sys.argv[1:] or NAMES:
    if word in NAMES or not wanted:
        wanted.append((word, []))
    else:
        wanted[-1][1].append(word)
for name, words in wanted:
    print(f"== {name}: {import_module(f'benchmarks.{name}').__doc__}", flush=True)
    import_module(f"benchmarks.{name}").main(*words)
