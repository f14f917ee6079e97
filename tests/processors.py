"""What this machine's processor does to numbers in eight bits."""

from __future__ import annotations

from pathlib import Path

import pytest

_EXACT = {"avx512_vnni", "avx_vnni", "amx_int8", "asimddp"}


def _flags() -> set[str]:
    try:
        return set(Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").split())
    except OSError:  # not Linux
        return set()


eight_bits = pytest.mark.skipif(
    not _flags() & _EXACT,
    reason="without VNNI runtimes sum pairs of 8-bit products in 16 bits, which saturate: the bounds are not theirs",
)
