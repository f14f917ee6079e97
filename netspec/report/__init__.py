"""report.html: what a network is, what it costs, and the proof that its files are it, in one self-contained page.

notes.py      what only the source of a spec tells: origins, comments, findings; kept in the page itself
measured.py   the figures of `netspec bench --format json`
help.py       the schema's words for every key
choices.py    the resolved spec as an outline with origins
proof.py      parity, gates and quantisation of every target of a bundle
content.py    all of it as plain records, in reading order
page.py       records → HTML, by the templates beside it
bundle.py     the page of a finished bundle, from its files
"""

from netspec.report.notes import Notes
from netspec.report.page import Built, html

__all__ = ["Built", "Notes", "html"]
