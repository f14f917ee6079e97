"""Looks at a picture as a reader would: what overlaps, what is clipped, where arrows end, what is missing."""

from __future__ import annotations

from dataclasses import replace

from netspec import api
from netspec.drawing import scene
from netspec.drawing.geometry import ARROW, NARROW, WIDE, Line, Picture, Rect
from netspec.plan import Plan

NAMED = ("unet/sd15", "unet/sdxl", "dit/dit_xl_2", "dit/sd3_medium", "unet/unet_2015", "autoencoder/kl_f8")
MEASURES = (WIDE, NARROW)


def plan(name: str, variant: str | None = None) -> Plan:
    return api.lower(api.load(name, variant=variant))


def faults(picture: Picture) -> list[str]:
    """Everything that a reader would stumble over."""
    found = []
    page = Rect(0, 0, picture.measure.width, picture.height)
    for number, card in enumerate(picture.cards):
        name = card.box.id
        if not page.holds(card.rect):
            found.append(f"{name} leaves the page")
        found += [
            f"{name} and {other.box.id} overlap" for other in picture.cards[:number] if card.rect.meets(other.rect)
        ]
        found += [f"{name}: `{text.text}` is clipped" for text in card.texts if not card.rect.holds(text.rect)]
        found += [f"{name}: a cell sticks out" for cell in card.cells if not card.rect.holds(cell.rect)]
        texts = [text.rect for text in card.texts]
        found += [f"{name}: texts overlap" for i, text in enumerate(texts) if any(text.meets(t) for t in texts[:i])]
        marks = [Rect(m.x - m.radius, m.y - m.radius, 2 * m.radius, 2 * m.radius) for m in card.marks]
        for mark in marks:
            if (
                not card.rect.holds(mark)
                or any(mark.meets(cell.rect) for cell in card.cells)
                or any(map(mark.meets, texts))
            ):
                found.append(f"{name}: a mark is in the way")
    for text in picture.texts:
        if not page.holds(text.rect) or any(text.rect.meets(card.rect) for card in picture.cards):
            found.append(f"`{text.text}` is clipped")
    for line in picture.lines:
        found += [f"{line.source} → {line.target}: {fault}" for fault in crooked(line, picture)]
    return found


def crooked(line: Line, picture: Picture) -> list[str]:
    found = []
    source, target = picture.card(line.source).rect, picture.card(line.target).rect
    if not line.dot and not on_border(line.points[0], source):
        found.append("does not begin at its box")
    if not on_border(line.points[-1], target):
        found.append("does not end at its box")
    for a, b in zip(line.points, line.points[1:], strict=False):
        if a[0] != b[0] and a[1] != b[1]:
            found.append("is slanted")
        way = Rect(min(a[0], b[0]) - 1, min(a[1], b[1]) - 1, abs(a[0] - b[0]) + 2, abs(a[1] - b[1]) + 2)
        if not Rect(0, 0, picture.measure.width, picture.height).holds(way):
            found.append("leaves the page")
        ends = (line.source, line.target)
        found += [f"crosses {c.box.id}" for c in picture.cards if c.box.id not in ends and c.rect.meets(way)]
    last, before = line.points[-1], line.points[-2]
    if abs(last[0] - before[0]) + abs(last[1] - before[1]) < ARROW:
        found.append("has no room for its head")
    return found


def on_border(point: tuple[float, float], rect: Rect) -> bool:
    x, y = point
    inside = rect.x - 0.01 <= x <= rect.right + 0.01 and rect.y - 0.01 <= y <= rect.bottom + 0.01
    return inside and min(abs(x - rect.x), abs(x - rect.right), abs(y - rect.y), abs(y - rect.bottom)) < 0.01


def untold(picture: Picture, plan: Plan) -> list[str]:
    """What of the plan is nowhere in the picture."""
    shown = {node.name for card in picture.cards for node in card.box.nodes}
    inputs = {name for card in picture.cards for name in (*card.box.read, card.box.title)}
    missing = [node.name for node in plan if node.name not in shown]
    missing += [name for name in (*plan.inputs, *plan.outputs) if name not in inputs]
    flows = {(edge.source, edge.target) for edge in scene.scene(plan).edges if edge.kind == "flow"}
    return missing + [f"{a} → {b}" for a, b in flows - {(line.source, line.target) for line in picture.lines}]


def nameless(net: Plan) -> Plan:
    """The network of a family whose stages are called as no layout expects."""
    return replace(net, nodes=tuple(replace(node, stage=f"({node.stage})") for node in net.nodes))
