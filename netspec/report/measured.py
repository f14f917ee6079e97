"""Figures of `netspec bench --format json`, read back. What wrote the file is in netspec/bench/report.py."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from netspec.errors import Diagnostic, UsageError

_MOST_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Timing:
    """One backend at one setting of the sizes; times in milliseconds, `ratio` to the backend `base`."""

    backend: str
    precision: str
    part: str
    sizes: str
    median: float
    p90: float
    throughput: float
    base: str
    ratio: float
    low: float
    high: float
    peak_bytes: int


@dataclass(frozen=True, slots=True)
class NodeTime:
    """What one node of the plan takes, or in parentheses what belongs to none."""

    node: str
    place: str
    ms: float
    share: float
    speed: float | None  # GFLOP/s


@dataclass(frozen=True, slots=True)
class NodeTable:
    """Where the time of one backend goes, the dearest node first."""

    title: str
    total: float
    rows: tuple[NodeTime, ...]


@dataclass(frozen=True, slots=True)
class Measured:
    """A measurement of one bundle on one machine."""

    name: str
    where: str
    versions: Mapping[str, str]
    timings: tuple[Timing, ...]
    tables: tuple[NodeTable, ...]
    absent: tuple[tuple[str, str], ...]  # backends that did not run, and why

    def groups(self) -> dict[str, list[Timing]]:
        """Timings that compare with each other: of one part at one setting of the sizes."""
        found: dict[str, list[Timing]] = {}
        for timing in self.timings:
            found.setdefault(" ".join(filter(None, (timing.part, timing.sizes))), []).append(timing)
        return found


def read(path: Path, name: str) -> Measured:
    """The figures in a file, which are those of the network `name`. Raises UsageError NS936 where they are not."""
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ValueError(f"it has more than {_MOST_BYTES:,} bytes")
        found = _measured(json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise _refused(path, error.strerror or str(error)) from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        reason = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
        raise _refused(path, reason[:200]) from error
    if found.name != name:
        raise _refused(path, f"they are those of {found.name}, not of {name}")
    return found


def _refused(path: Path, reason: str) -> UsageError:
    help = "write it with `netspec bench DIR --per-node --format json > bench.json`"
    return UsageError(Diagnostic("NS936", f"{path} holds no figures of this bundle: {reason}", help=(help,)))


def _measured(data: Any) -> Measured:
    where = data["environment"]
    machine = f"{where['cpu']}, {int(where['threads'])} threads, {where['system']}"
    return Measured(
        name=str(data["name"]),
        where=machine,
        versions={str(name): str(version) for name, version in where["versions"].items()},
        timings=tuple(map(_timing, data["timings"])),
        tables=tuple(map(_table, data["nodes"])),
        absent=tuple((str(each["backend"]), str(each["reason"])) for each in data["not_run"]),
    )


def _timing(entry: Any) -> Timing:
    ratio = entry["ratio"]
    return Timing(
        backend=str(entry["backend"]),
        precision=str(entry["precision"]),
        part=_names(entry["outputs"]),
        sizes=_sizes(entry["sizes"]),
        median=_number(entry["median_ms"]),
        p90=_number(entry["p90_ms"]),
        throughput=_number(entry["samples_per_second"]),
        base=str(ratio["to"]),
        ratio=_number(ratio["value"]),
        low=_number(ratio["low"]),
        high=_number(ratio["high"]),
        peak_bytes=int(entry["peak_bytes"]),
    )


def _table(entry: Any) -> NodeTable:
    rows = tuple(
        NodeTime(
            node=str(row["node"]),
            place=str(row["place"]),
            ms=_number(row["ms"]),
            share=_number(row["share"]),
            speed=None if row["gflops_per_second"] is None else _number(row["gflops_per_second"]),
        )
        for row in entry["rows"]
    )
    title = " ".join(filter(None, (str(entry["backend"]), _names(entry["outputs"]), "at", _sizes(entry["sizes"]))))
    return NodeTable(f"{title}, mean of {int(entry['runs'])} runs", _number(entry["total_ms"]), rows)


def _number(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{value} is no figure")
    return number


def _names(outputs: Sequence[Any]) -> str:
    return ", ".join(map(str, outputs))


def _sizes(sizes: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {int(size)}" for name, size in sizes.items()) or "fixed sizes"
