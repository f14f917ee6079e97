"""How an image is cut into tokens."""

from __future__ import annotations

from math import log

from netspec.guide.sheet import Line, line
from netspec.guide.sources import DIT, UVIT
from netspec.guide.wish import Wish, cannot

_LATENT = 2
_TOKENS = 256
_FEWEST, _MOST = 64, 4096


def patch(wish: Wish) -> int:
    """Side of a patch: 2 on latents; on pixels the one that leaves nearest to 256 tokens.

    Raises UsageError NS926 where no patch divides the side into a sensible number of tokens.
    """
    if wish.in_latents and wish.side % _LATENT == 0:
        return _LATENT
    found = [each for each in range(1, wish.side) if wish.side % each == 0 and _FEWEST <= tokens(wish, each) <= _MOST]
    if not found:
        raise cannot(f"no patch cuts {wish.side}x{wish.side} into {_FEWEST} to {_MOST} tokens", "--image 64")
    return min(found, key=lambda each: abs(log(tokens(wish, each) / _TOKENS)))


def tokens(wish: Wish, side: int) -> int:
    """Tokens of one image."""
    return (wish.side // side) ** 2


def cut(wish: Wish) -> Line:
    """`patch_size`."""
    side = patch(wish)
    here = f"here {tokens(wish, side):,} tokens"
    if wish.in_latents:
        return line(f"  patch_size: {side}", DIT.says(f"the smallest patch is best, 2 on latents; {here}"))
    return line(f"  patch_size: {side}", UVIT.says(f"patches that leave about {_TOKENS} tokens; {here}"))
