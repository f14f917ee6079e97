"""A plan → a picture → SVG. The only place that knows the template."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from netspec import markup
from netspec.drawing import levels, style
from netspec.drawing.cards import Cards, percent
from netspec.drawing.column import Column
from netspec.drawing.geometry import WIDE, Cell, Measure, Picture, Rect, Text
from netspec.drawing.levels import Levels
from netspec.drawing.metrics import cut, width, wrapped
from netspec.drawing.paint import STEPS, Color, Paint, paint
from netspec.drawing.scene import scene
from netspec.plan import Plan

if TYPE_CHECKING:
    from jinja2 import Environment

_COLOURS = ("conv", "attention", "resample", "embed", "ends", "other", "fp32", "fp16", "bf16", "few", "share")
_PARTS = (("conv", "conv", "conv"), ("attention", "attention", "attention"), ("other", "paper", "muted"))


def rules() -> str:
    """The style sheet of a picture, colours by name."""
    cells = "".join(f".ns-net .cell.{name} {{ fill: ${name} }}\n" for name in _COLOURS)
    parts = "".join(f".ns-net .part.{name} {{ fill: ${fill}; stroke: ${stroke} }}\n" for name, fill, stroke in _PARTS)
    ramp = "".join(f".ns-net .card.ramp-{i} {{ fill: $ramp-{i} }}\n" for i in range(STEPS))
    return style.sheet("net") + cells + parts + ramp


def picture(plan: Plan, color: Color = "kind", measure: Measure = WIDE) -> Picture:
    """Everything with its place."""
    seen = scene(plan)
    coat = paint(seen, color)
    made = Picture(measure)
    y = _heading(made, plan)
    shape = levels.shape(seen)
    if shape is not None:
        cards = Cards(seen, measure, coat, {source: place for place, source in enumerate(seen.sides)})
        Levels(seen, shape, cards, made).draw(y)
    else:
        Column(seen, Cards(seen, measure, coat), made).draw(y)
    _legend(made, coat)
    return made


def svg(
    plan: Plan, *, color: Color = "kind", standalone: bool = True, measure: Measure = WIDE, prefix: str = "",
) -> str:  # fmt: skip
    """The picture as a file of its own, or to stand in a page that has `style.variables()`."""
    made = picture(plan, color, measure)
    sheet = style.of_file(rules()) if standalone else ""
    return environment().get_template("net.svg.j2").render(
        p=made, m=made.measure, name=name(plan), told=told(plan), sheet=sheet, standalone=standalone, prefix=prefix,
        shapes=_SHAPES,
    )  # fmt: skip


def told(plan: Plan) -> str:
    """A network in a sentence, for those who cannot see the picture."""
    made = ", ".join(f"{name} {value.type}" for name, value in plan.outputs.items())
    taken = ", ".join(f"{name} {type_}" for name, type_ in plan.inputs.items())
    return f"{len(plan.nodes)} nodes with {plan.cost.params:,} parameters make {made} from {taken}."


# Marks of what feeds many boxes, on a circle of radius 1: circle, diamond, triangle, square.
_SHAPES = (
    "M-.95 0a.95 .95 0 1 0 1.9 0a.95 .95 0 1 0 -1.9 0z", "M0 -1.15L1.15 0L0 1.15L-1.15 0z",
    "M0 -1.05L1.05 .85L-1.05 .85z", "M-.85 -.85H.85V.85H-.85z",
)  # fmt: skip


def _heading(p: Picture, plan: Plan) -> float:
    """Name and totals. Returns where the network begins."""
    m = p.measure
    room = m.width - 2 * m.margin
    y = m.margin + m.heading
    p.texts.append(Text(m.margin, y, cut(name(plan), m.heading, room, bold=True), "heading", m.heading, bold=True))
    sizes = ", ".join(f"{word}\u00a0{dim.opt}" for word, dim in plan.spec.dims.items())
    facts = f"{plan.cost.params:,} parameters · {plan.cost.gflops:,.1f} GFLOPs"
    for line in wrapped(f"{facts} at {sizes}" if sizes else facts, m.text, room, 2):
        y += m.line * 1.1
        p.texts.append(Text(m.margin, y, line, "note", m.text))
    return y + m.gap * 0.8


def name(plan: Plan) -> str:
    """The network's, of a part with what it makes."""
    return f"{plan.spec.name}: {', '.join(plan.outputs)}" if plan.whole is not None else plan.spec.name


def _legend(p: Picture, coat: Paint) -> None:
    m = p.measure
    y = p.height + m.gap * 0.9
    x = m.margin
    entries = list(coat.legend)
    swatch = m.strip * 1.4
    if coat.shares:
        text = f"share of all {coat.measured}, at most {percent(max(coat.shares.values()))}"
        for step in range(STEPS):
            p.cells.append(Cell(Rect(x, y, swatch * 1.6, swatch), f"card ramp-{step}"))
            x += swatch * 1.6 + 2
        x += m.pad / 2
        p.texts.append(
            Text(x, y + (swatch + 0.72 * m.small) / 2, cut(text, m.small, m.width - m.margin - x), "note", m.small)
        )
        y += m.line
    for name, text in entries:
        wide = swatch + m.pad / 2 + width(text, m.small)
        if x > m.margin and x + wide > m.width - m.margin:
            x, y = m.margin, y + m.line
        p.cells.append(Cell(Rect(x, y, swatch, swatch), f"cell {name}"))
        p.texts.append(Text(x + swatch + m.pad / 2, y + (swatch + 0.72 * m.small) / 2, text, "note", m.small))
        x += wide + m.pad * 1.6
    p.height = y + swatch + m.margin


@cache
def environment() -> Environment:
    """The templates. jinja2 takes some 40 ms to import, which only a picture pays for."""
    made = markup.environment(Path(__file__).with_name("templates"))
    made.filters["n"] = number
    return made


def number(value: float) -> str:
    """A coordinate: one decimal at most."""
    text = f"{value:.1f}"
    return text.removesuffix(".0") if text != "-0.0" else "0"
