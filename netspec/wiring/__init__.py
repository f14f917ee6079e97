"""Parts that a family puts between the named ones: stem, joins, heads. No spec key names them."""

from __future__ import annotations

from netspec.registry import Component


class Wiring(Component, kind="wiring", tag=""):
    """A node that a family adds by itself: its choices, where it has any, are a key of the family."""
