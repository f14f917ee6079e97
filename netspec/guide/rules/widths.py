"""Widths of levels: which are possible, their heads, and the groups of their norms."""

from __future__ import annotations

from collections.abc import Sequence

from netspec.guide.sheet import Line, line
from netspec.guide.sources import ADM, EDM, LDM

STEP = 32  # channels, so that 32 groups fit
HEAD, SMALL_HEAD = 64, 32
_WIDEST = 512
_GROUPS, _MEMBERS = 32, 4
MEMBERSHIP = EDM.says("four channels in a group at least")


def bases(multipliers: Sequence[float]) -> list[int]:
    """Widths that every level's multiplier multiplies, and whose narrowest level splits into groups."""
    steps = range(STEP, _WIDEST + 1, STEP)
    return [base for base in steps if base * min(multipliers) % groups(base, multipliers) == 0]


def usual_heads(base: int, attending: Sequence[float]) -> bool:
    """Whether the widths that attend split into heads of 64."""
    return all(base * each % HEAD == 0 for each in attending)


def head(base: int, attending: Sequence[float], key: str = "attention", more: str = "") -> Line:
    """The width of a head."""
    if usual_heads(base, attending):
        return line(f"  {key}: {{head_dim: {HEAD}{more}}}", ADM.says("64 channels in each head"))
    return line(f"  {key}: {{head_dim: {SMALL_HEAD}{more}}}", LDM.says("32 channels in each head; 64 do not fit here"))


def groups(base: int, multipliers: Sequence[float]) -> int:
    """Groups of every norm: 32, or fewer where that leaves less than four channels to one."""
    return min(_GROUPS, int(base * min(multipliers)) // _MEMBERS)


def norm(count: int) -> str:
    """`norm: {groups: 16}`, where it is not the usual number; ""."""
    return "" if count == _GROUPS else f"norm: {{groups: {count}}}"


def head_norm(count: int) -> tuple[Line, ...]:
    """The head's norm, where it has another number of groups than usual."""
    return (line(f"  head: {{{norm(count)}}}", MEMBERSHIP),) if norm(count) else ()
