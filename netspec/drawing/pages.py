"""The picture as HTML: with its stages to unfold, for a page of its own or to stand in another one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from netspec.drawing import ink, style
from netspec.drawing.geometry import NARROW, WIDE
from netspec.drawing.paint import Color
from netspec.drawing.scene import scene
from netspec.plan import Node, Plan


def html(plan: Plan, *, color: Color = "kind") -> str:
    """A page of its own: no network, no other file."""
    made = fragment(plan, color=color)
    rules = style.variables() + style.of_page(style.sheet("page"))
    return ink.environment().get_template("page.html.j2").render(name=ink.name(plan), rules=rules, fragment=made)


def fragment(plan: Plan, *, color: Color = "kind", prefix: str = "") -> str:
    """The picture, wide or narrow as there is room, and the list of its stages, each with its nodes to unfold. The
    page that it stands in has `style.variables()`."""
    wide, narrow = (
        ink.svg(plan, color=color, standalone=False, measure=measure, prefix=prefix + name)
        for measure, name in ((WIDE, "wide-"), (NARROW, "narrow-"))
    )
    rules = style.of_page(ink.rules() + style.sheet("fragment"))
    template = ink.environment().get_template("fragment.html.j2")
    return template.render(prefix=prefix, rules=rules, wide=wide, narrow=narrow, stages=list(_stages(plan)))


def _stages(plan: Plan) -> Iterator[dict[str, Any]]:
    for box in scene(plan).boxes.values():
        if box.nodes:
            yield {
                "id": box.id,
                "title": f"{box.part} {box.title}".strip(),
                "words": f"× {box.count}" if box.count > 1 else box.words,
                "size": box.size,
                "params": f"{box.params:,}",
                "gflops": f"{2 * box.macs / 1e9:,.2f}",
                "nodes": [_node(node) for node in box.nodes],
            }


def _node(node: Node) -> dict[str, str]:
    return {
        "name": node.name,
        "component": f"{node.component.kind}.{node.component.name}",
        "inputs": ", ".join(value.name for value in node.inputs),
        "output": str(node.out),
        "params": f"{node.cost.params:,}",
        "gflops": f"{node.cost.gflops:,.3f}",
        "source": node.origin.source,
        "path": str(node.origin),
    }
