"""compare(): two networks → what differs, in the terms of their architecture. No torch.

sides.py       what a command line calls A and B → specs
revisions.py   specs of a git revision
choices.py     resolved specs as trees → changed choices; rows.py aligns, spelling.py writes
stages.py      plans → the nodes that changed, per stage
carried.py     which weights of A are weights of B; tensors.py lists them one by one, with torch
difference.py  Difference: all of it, with the totals
text.py, markdown.py, page.py   how it is shown
"""

from netspec.diff.difference import Difference, Side, compare

__all__ = ["Difference", "Side", "compare"]
