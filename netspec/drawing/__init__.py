"""Pictures of networks, from the plan alone: what there is to see first, then where it stands, then the ink.

scene.py     a plan as boxes, what flows between them, and what feeds many of them
words.py     what nodes are called: `2 × (ResNet + Transformer ×1) ↓ conv`
paint.py     what colours mean
cards.py     a box with its texts, as wide and high as they are: metrics.py
levels.py    the layout of networks in levels; column.py that of all others
ink.py       SVG; pages.py what can be unfolded, as HTML; flowchart.py (mermaid); pixels.py (PNG)
style.py     colours and type, light and dark, for every page of ours
"""

from netspec.drawing.flowchart import mermaid
from netspec.drawing.geometry import NARROW, WIDE
from netspec.drawing.ink import svg
from netspec.drawing.pages import fragment, html
from netspec.drawing.paint import DEVICE, Color, Precisions, Shares, measured, precisions, roofline
from netspec.drawing.pixels import png

__all__ = [
    "svg", "html", "fragment", "mermaid", "png", "Color", "Shares", "Precisions", "roofline", "measured", "precisions",
    "DEVICE", "WIDE", "NARROW",
]  # fmt: skip
