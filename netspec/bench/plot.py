"""svg(): a report as a bar chart: medians, whiskers to the 90th percentile; text stays text, and dark mode works."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from netspec.bench.report import Report, Timing
from netspec.bench.sizes import words

WIDTH = 720
_LABEL, _END = 190, 150  # room for names on the left, for figures on the right
_ROW, _BAR, _TITLE = 26, 14, 40
_STYLE = """\
text { font: 13px system-ui, sans-serif; fill: #1f2328 }
.title { font-weight: 600 }
.note { fill: #59636e }
.bar { fill: #7aa7d9 }
.base { fill: #b1b8c0 }
.whisker { stroke: #1f2328; fill: none }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 }
  .note { fill: #9198a1 }
  .bar { fill: #3f78b5 }
  .base { fill: #656c76 }
  .whisker { stroke: #e6edf3 }
}"""


def svg(report: Report) -> str:
    """The picture as a text. Bars of one part at one setting of sizes share a scale, since others do not compare."""
    groups: dict[str, list[Timing]] = {}
    for timing in report.timings:
        part = f" {', '.join(timing.outputs)}" if timing.outputs else ""
        groups.setdefault(f"{report.name}{part} at {words(timing.sizes)}", []).append(timing)
    shapes: list[str] = []
    y = 0
    for title, timings in groups.items():
        shapes.append(f'<text class="title" x="0" y="{y + 18}">{escape(title)}</text>')
        y += _TITLE - 8
        longest = max(timing.p90 for timing in timings)
        for timing in timings:
            shapes += _bar(timing, longest, y)
            y += _ROW
        y += 12
    shapes.append(f'<text class="note" x="0" y="{y + 14}">{escape(_note(report))}</text>')
    height = y + 24
    body = "\n".join(shapes)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        f'role="img">\n<style>\n{_STYLE}\n</style>\n{body}\n</svg>\n'
    )


def _bar(timing: Timing, longest: float, y: int) -> Iterator[str]:
    scale = (WIDTH - _LABEL - _END) / longest
    middle, end = _LABEL + timing.median * scale, _LABEL + timing.p90 * scale
    center, top, kind = y + _ROW / 2, y + (_ROW - _BAR) / 2, "base" if timing.backend == timing.base else "bar"
    name = f"{timing.backend}, {timing.precision}"
    milliseconds = 1e3 * timing.median
    figures = f"{milliseconds:,.{0 if milliseconds >= 100 else 2}f} ms" + (
        "" if kind == "base" else f"  {timing.ratio.value:.2f}x"
    )
    yield f'<text x="{_LABEL - 8}" y="{center + 4.5}" text-anchor="end">{escape(name)}</text>'
    yield f'<rect class="{kind}" x="{_LABEL}" y="{top}" width="{middle - _LABEL:.1f}" height="{_BAR}"/>'
    yield f'<path class="whisker" d="M{middle:.1f} {center}H{end:.1f}M{end:.1f} {center - 4}v8"/>'
    yield f'<text x="{end + 8:.1f}" y="{center + 4.5}">{escape(figures)}</text>'


def _note(report: Report) -> str:
    base = next((timing.base for timing in report.timings), "")
    where = report.environment
    return f"Medians, whiskers to the 90th percentile; ratios to {base}. {where.cpu}, {where.threads} threads."
