"""No positions."""

from __future__ import annotations

from netspec.positions import Bare


class NoPosition(Bare, name="none"):
    """Tokens that learn their place from elsewhere, or not at all. Haviv et al. 2022, arXiv:2203.16634."""

    example = "none"
