"""Families of networks: each is one key of a spec, and the wiring that turns its choices into nodes."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar

from netspec.registry import Component

if TYPE_CHECKING:
    from netspec.builder import Builder
    from netspec.plan import Value


class Family(Component, kind="family", tag=""):
    """A way to wire blocks. `convention` is the lineage whose silent numerics hold unless the spec names another."""

    convention: ClassVar[str]

    @abstractmethod
    def lower(self, b: Builder, x: Value, channels: int) -> Value:
        """Add this network's nodes to the plan: from the image input `x` to an image of `channels`."""
