"""Report: what was measured, where, and by what; as data for `netspec bench --format json`.

{"name": the network's,
 "environment": {"cpu": …, "features": ["avx512_vnni", …], "processors": n, "threads": of each backend,
                 "load": the machine's load average before, or null, "system": …, "versions": {"torch": …, …}},
 "memory_by": how peak memory was measured,
 "timings": [{"backend": …, "precision": …, "outputs": [names, none for all], "sizes": {"batch": n, …},
              "median_ms": …, "p90_ms": …, "samples_per_second": …,
              "ratio": {"to": backend, "value": median over its median, "low": …, "high": of 95 % confidence},
              "peak_bytes": …, "load_s": …, "first_s": to load, and until the first result after that,
              "rounds": …, "runs": …}, …],
 "not_run": [{"backend": …, "outputs": […], "sizes": {none for all}, "reason": …}, …],
 "nodes": [{"backend": …, "outputs": […], "sizes": {…}, "runs": …, "total_ms": …,
            "rows": [{"node": …, "place": "net.yaml:21", "ms": …, "share": 0 to 1, "gflops_per_second": … or null,
                      "operations": n}, …]}, …]}
"""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from netspec.bench.backends import Absent
from netspec.bench.figures import Ratio
from netspec.bench.nodes import NodeTable
from netspec.bench.sizes import Sizes
from netspec.compiler import tools

_FEATURES = (
    "avx2",
    "avx512f",
    "avx512_vnni",
    "avx512_bf16",
    "avx_vnni",
    "amx_bf16",
    "amx_int8",
    "asimd",
    "bf16",
    "i8mm",
)


@dataclass(frozen=True)
class Environment:
    """Where it was measured."""

    cpu: str
    features: tuple[str, ...]
    processors: int
    threads: int
    load: float | None
    system: str
    versions: dict[str, str]


@dataclass(frozen=True)
class Timing:
    """One backend at one setting of the sizes; times in seconds, `throughput` in samples a second."""

    backend: str
    precision: str
    outputs: tuple[str, ...]
    sizes: Sizes
    median: float
    p90: float
    throughput: float
    base: str
    ratio: Ratio
    peak_bytes: int
    load: float
    first: float
    rounds: int
    runs: int


@dataclass(frozen=True)
class Report:
    """A measurement of one bundle."""

    name: str
    environment: Environment
    timings: tuple[Timing, ...]
    absent: tuple[Absent, ...]
    tables: tuple[NodeTable, ...]
    memory_by: str

    def data(self) -> dict[str, Any]:
        """As the module's docstring says."""
        return {
            "name": self.name,
            "environment": vars(self.environment) | {"features": list(self.environment.features)},
            "memory_by": self.memory_by,
            "timings": [_timing(each) for each in self.timings],
            "not_run": [
                {"backend": each.name, "outputs": list(each.outputs), "sizes": dict(each.sizes), "reason": each.reason}
                for each in self.absent
            ],
            "nodes": [_table(each) for each in self.tables],
        }


def _timing(timing: Timing) -> dict[str, Any]:
    ratio = timing.ratio
    return {
        "backend": timing.backend,
        "precision": timing.precision,
        "outputs": list(timing.outputs),
        "sizes": dict(timing.sizes),
        "median_ms": 1e3 * timing.median,
        "p90_ms": 1e3 * timing.p90,
        "samples_per_second": timing.throughput,
        "ratio": {"to": timing.base, "value": ratio.value, "low": ratio.low, "high": ratio.high},
        "peak_bytes": timing.peak_bytes,
        "load_s": timing.load,
        "first_s": timing.first,
        "rounds": timing.rounds,
        "runs": timing.runs,
    }


def _table(table: NodeTable) -> dict[str, Any]:
    return {
        "backend": table.backend,
        "outputs": list(table.outputs),
        "sizes": dict(table.sizes),
        "runs": table.runs,
        "total_ms": 1e3 * table.seconds,
        "rows": [
            {
                "node": row.node,
                "place": row.place,
                "ms": 1e3 * row.seconds,
                "share": row.share,
                "gflops_per_second": None if row.speed is None else row.speed / 1e9,
                "operations": row.kernels,
            }
            for row in table.rows
        ],
    }


def environment(threads: int) -> Environment:
    """This machine, now."""
    described = _cpuinfo()
    flags = (described.get("flags") or described.get("Features") or "").split()
    return Environment(
        cpu=described.get("model name") or platform.processor() or platform.machine(),
        features=tuple(flag for flag in _FEATURES if flag in flags),
        processors=os.cpu_count() or 1,
        threads=threads,
        load=os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        system=f"{platform.system()} {platform.machine()}",
        versions=tools(),
    )


def _cpuinfo() -> dict[str, str]:
    """What Linux says of the first processor; empty elsewhere."""
    try:
        first = Path("/proc/cpuinfo").read_text(encoding="utf-8").partition("\n\n")[0]
    except OSError:
        return {}
    pairs = (line.partition(":") for line in first.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}
