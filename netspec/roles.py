"""What a part of a network is for, and what it computes in by that: the rule that netspec.precision applies."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Literal, TypeAlias

Role: TypeAlias = Literal[
    "embedding", "position", "modulation", "head", "stem", "shortcut", "norm", "conv", "linear", "other"
]

FEW_BITS = ("int8", "fp8", "int4")
EXACT_ROLES = ("embedding", "position", "head")
QUANTISED_ROLES = ("conv", "linear")  # in 4 bits only the second, whose rows can have a scale for a few weights each
QUANTISABLE_ROLES = (*QUANTISED_ROLES, "stem", "shortcut", "head")  # where a spec asks for it
FEW = 0.05  # share of a network's weights up to which float32 modulation costs next to nothing


def matches(pattern: str, path: str) -> bool:
    """Whether a pattern names a module: its path, one that it lies in, or a shell pattern of either."""
    return fnmatchcase(path, pattern) or fnmatchcase(path, f"{pattern}.*")


def by_role(role: Role, default: str, base: str, modulation: float) -> tuple[str, str]:
    """What a part computes in where the spec does not say, and why. `base` is the target's float, `modulation` the
    share of the network's weights that project the conditioning vector."""
    if default == "fp32":
        return "fp32", ""
    if role in EXACT_ROLES:
        return "fp32", "everything depends on it" if role != "head" else "nothing after it averages its rounding"
    if role == "modulation" and modulation <= FEW:
        return "fp32", f"{modulation:.1%} of the weights"
    if default in FEW_BITS and (role not in QUANTISED_ROLES or (default == "int4" and role != "linear")):
        return base, "not quantised" if role in ("stem", "shortcut", "conv") else ""
    return default, ""
