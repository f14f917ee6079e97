"""mermaid(): a flowchart for READMEs: one node for each box, as GitHub and others draw it."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence

from netspec.drawing.scene import Box, scene
from netspec.plan import Plan

_ARROWS = {"flow": "==>", "skip": "-.->", "side": "-->"}
_MOST = 3  # arrows from one box beside the trunk: what feeds more is named in what it feeds


def mermaid(plan: Plan) -> str:
    """The network as a mermaid flowchart. Its words are entities wherever mermaid or HTML could read them as their
    own."""
    return "\n".join(_lines(plan)) + "\n"


def _lines(plan: Plan) -> Iterator[str]:
    seen = scene(plan)
    names = {id: f"b{number}" for number, id in enumerate(seen.boxes)}  # an input's own name may hold anything
    common = {id for id in seen.sides if len(seen.feeds(id)) > _MOST}
    yield "flowchart TD"
    for box in seen.boxes.values():
        yield f"  {names[box.id]}{_shaped(box, [seen.boxes[id].title for id in box.fed if id in common])}"
    for edge in seen.edges:
        if not (edge.kind == "side" and edge.source in common):
            yield f"  {names[edge.source]} {_ARROWS[edge.kind]} {names[edge.target]}"


def _shaped(box: Box, reads: list[str]) -> str:
    title = f"{box.count} × {box.title}" if box.count > 1 else box.title
    lines = [f"{box.part} {title}".strip(), box.words, box.size, _list("from", box.read)]
    lines.append(_list("reads", reads))
    text = "<br>".join(_quoted(line) for line in lines if line)
    return f'(["{text}"])' if box.role in ("input", "output") else f'["{text}"]'


def _list(word: str, names: Sequence[str]) -> str:
    return f"{word} {', '.join(names)}" if names else ""


def _quoted(text: str) -> str:
    return "".join(character if _plain(character) else f"#{ord(character)};" for character in text)


def _plain(character: str) -> bool:
    return character in " +×(),._-↓↑\u00a0" or unicodedata.category(character)[0] in "LN"
