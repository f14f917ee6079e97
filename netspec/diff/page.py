"""A difference as one self-contained page: both pictures side by side, what changed marked in them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netspec import markup
from netspec.analysis.tables import amount
from netspec.diff import words
from netspec.diff.choices import Change
from netspec.diff.difference import Difference, Side
from netspec.diff.stages import Figures, Stage
from netspec.drawing import ink, style
from netspec.drawing.geometry import NARROW
from netspec.drawing.scene import scene

if TYPE_CHECKING:
    from jinja2 import Environment

FOLDER = Path(__file__).with_name("templates")
_OUTLINE = "> rect:not(.cell):not(.behind):not(.part) { stroke: $accent; stroke-width: 2.4 }"


def html(difference: Difference, *, tensors: Sequence[str] = ()) -> str:
    """The page: no script, no network, no other file. `tensors` are lines about single tensors."""
    verdict, fates = words.weights(difference)
    total = _row("total", difference.old, difference.new)
    page = (
        _environment()
        .get_template("page.html.j2")
        .render(
            difference=difference,
            rules=style.variables() + style.of_page(_rules()),
            figures=list(_figures(difference)),
            groups=[
                (title, [_choice(each) for each in difference.group(name)]) for name, title in words.HEADINGS.items()
            ],
            sides=[_picture(difference, side, prefix) for side, prefix in ((difference.a, "a-"), (difference.b, "b-"))],
            marks=style.of_page("".join(_marks(difference))),
            stages=[
                _row(words.renamed(each), each.old, each.new) | {"told": _told(each)} for each in difference.changed
            ],
            total=total,
            unchanged=len(difference.stages) - len(difference.changed),
            weights=verdict,
            fates=fates,
            tensors=tensors,
        )
    )
    return f"{page}\n"


@cache
def _environment() -> Environment:
    made = markup.environment(FOLDER)
    made.filters["set"] = _set
    return made


def _set(text: str) -> str:
    """With the arrows and signs of print."""
    return re.sub(r"(?<![^ ])-(?=[ \d.])", "−", text.replace(" -> ", " → "))


def _rules() -> str:
    return ink.rules() + (FOLDER / "style.css").read_text(encoding="utf-8")


def _figures(difference: Difference) -> Iterator[dict[str, str]]:
    old, new = difference.old, difference.new
    before, after = difference.peaks
    loaded, of = difference.weights.share
    yield _figure("parameters", f"{old.params:,}", f"{new.params:,}", words.share(old.params, new.params))
    yield _figure("GFLOPs", f"{old.gflops:,.2f}", f"{new.gflops:,.2f}", words.share(old.macs, new.macs))
    yield _figure("activations", amount(before), amount(after), words.share(before, after))
    yield {"name": "weights that load", "value": words.part_of(loaded, of), "was": "", "change": ""}


def _figure(name: str, old: str, new: str, change: str) -> dict[str, str]:
    return {"name": name, "value": new, "was": "" if old == new else old, "change": change}


def _choice(change: Change) -> dict[str, Any]:
    notes = [*filter(None, [words.moved(change)]), *words.following(change)]
    texts = words.short(change.old_text), words.short(change.new_text)
    return {"path": change.where, "kind": change.kind, "old": texts[0], "new": texts[1], "notes": notes}


def _row(name: str, old: Figures, new: Figures) -> dict[str, Any]:
    cells = (
        (words.signed(new.params - old.params), words.share(old.params, new.params)),
        (words.signed_gflops(old, new), words.share(old.macs, new.macs)),
        (words.signed_bytes(old.written, new.written), words.share(old.written, new.written)),
    )
    return {"name": name, "cells": cells}


def _told(stage: Stage) -> list[str]:
    return [line for line in (words.outputs(stage), *stage.words) if line]


def _picture(difference: Difference, side: Side, prefix: str) -> dict[str, str]:
    picture = ink.svg(side.plan, standalone=False, measure=NARROW, prefix=prefix)
    return {"label": side.label, "name": side.plan.spec.name, "svg": picture}


def _marks(difference: Difference) -> Iterator[str]:
    """Rules that outline the boxes with nodes that differ."""
    for side, prefix in ((difference.a, "a-"), (difference.b, "b-")):
        differing = {
            node.name
            for stage in difference.changed
            for pair in stage.pairs
            if pair.differs and (node := pair.old if prefix == "a-" else pair.new) is not None
        }
        for box in scene(side.plan).boxes.values():
            if any(node.name in differing for node in box.nodes):
                yield f"#{prefix}{box.id} {_OUTLINE}\n"
