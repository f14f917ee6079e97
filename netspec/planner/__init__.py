"""lower(): Spec → Plan.

lowering.py       finds the image among the inputs, lets the family wire its nodes, checks the result
placing.py        problems of components → diagnostics at their place
sizes.py          sizes that do not divide, outputs that are not as stated
expectations.py   what `expect` asserts
points.py         the sizes at which a network is tried
"""

from netspec.planner.lowering import lower

__all__ = ["lower"]
