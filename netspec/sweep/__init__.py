"""A grid of settings laid over one spec → the cost of every point, and those that no other point beats. No torch.

grid.py       `--set path=v1,v2` → axes, and the point at each place of the grid
costing.py    a point → its figures, or why it is refused
running.py    all points, in several processes where they are many
front.py      figures by name, budgets, the Pareto front
outcome.py    Outcome: all of it, sorted
table.py      as text, Markdown, CSV, data; plot.py, as a picture and a page
measured.py   the best points, built and timed
"""

from netspec.sweep.grid import Grid, grid
from netspec.sweep.outcome import Outcome, outcome
from netspec.sweep.running import run

__all__ = ["Grid", "Outcome", "grid", "outcome", "run"]
