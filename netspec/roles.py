"""What a part of a network is for, where that decides its precision: netspec.precision."""

from __future__ import annotations

from typing import Literal, TypeAlias

Role: TypeAlias = Literal[
    "embedding", "position", "modulation", "head", "stem", "shortcut", "norm", "conv", "linear", "other"
]
