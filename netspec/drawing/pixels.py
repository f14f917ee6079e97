"""png(): the picture in pixels, drawn by resvg with the fonts of the system."""

from __future__ import annotations

from netspec.drawing import style
from netspec.drawing.geometry import WIDE, Measure
from netspec.drawing.ink import svg
from netspec.drawing.paint import Color
from netspec.errors import Diagnostic, UsageError
from netspec.plan import Plan

_PROBE = '<svg xmlns="http://www.w3.org/2000/svg" width="20" height="20"><text y="16" font-family="{}">M</text></svg>'


def png(plan: Plan, *, color: Color = "kind", scale: float = 2.0, measure: Measure = WIDE) -> bytes:
    """The picture as a PNG file, `scale` pixels to each unit, in light colours on white.

    Raises UsageError: NS947 without resvg, NS948 where the system has no font that it can use.
    """
    try:
        import resvg_py
    except ImportError as error:
        help = ("pip install 'netspec[png]'",)
        raise UsageError(Diagnostic("NS947", "PNG needs resvg, which is not installed", help=help)) from error
    if _drawn(_PROBE.format("sans-serif")) == _drawn(_PROBE.format("sans-serif").replace("M", "")):
        help = ("install one such as Liberation Sans, or write SVG, which is drawn where it is seen",)
        raise UsageError(Diagnostic("NS948", "no font was found to draw text with", help=help))
    return bytes(
        resvg_py.svg_to_bytes(
            svg_string=svg(plan, color=color, measure=measure), background=style.LIGHT["paper"], zoom=scale
        )
    )


def _drawn(text: str) -> bytes:
    import resvg_py

    return bytes(resvg_py.svg_to_bytes(svg_string=text))
