"""A spec for a wish, after the published guides: `netspec new --image 64 --budget 100M`.

wish.py        what somebody asks for, and what nobody can have
sources.py     the papers
published.py   the networks in them, as tables
sheet.py       lines with remarks that say which rule chose a number → YAML
budget.py      the size that comes nearest below a number of parameters
rules/         one idea each: levels, heads, groups, patches, the interface, guidance, targets
unet.py, dit.py, mmdit.py, autoencoder.py    the rules of one family, put together
copying.py     a shipped spec under another name

Everything is counted by the planner, so that the counts in a remark are those that `netspec show` gives.
"""

from __future__ import annotations

from collections.abc import Mapping

from netspec.guide import autoencoder, dit, mmdit, unet
from netspec.guide.budget import Draft, Written, nearest
from netspec.guide.wish import Wish

FAMILIES: Mapping[str, type[Draft]] = {
    "unet": unet.UNetDraft,
    "dit": dit.DiTDraft,
    "mmdit": mmdit.MMDiTDraft,
    "autoencoder": autoencoder.AutoencoderDraft,
}


def write(wish: Wish) -> Written:
    """The spec that the guides give for a wish. Raises UsageError NS926 where there is none, with what there is."""
    return nearest(FAMILIES[wish.family](wish))
