"""html(): a report as one self-contained page, by the templates beside this file."""

from __future__ import annotations

import base64
import hashlib
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netspec import __version__, drawing, markup
from netspec.analysis import Summary, summarise
from netspec.bundle import Manifest, ParityRow
from netspec.drawing import ink, style
from netspec.drawing.geometry import NARROW, WIDE
from netspec.drawing.scene import scene
from netspec.plan import Plan
from netspec.report import content, proof
from netspec.report.choices import choices
from netspec.report.measured import Measured
from netspec.report.notes import Finding, Notes
from netspec.spec import Target

if TYPE_CHECKING:
    from jinja2 import Environment

FOLDER = Path(__file__).with_name("templates")
_RUNTIMES = ("openvino", "executorch")  # each of the exporter that has its name
_TOOLS = ("torch", "onnx", "onnxruntime", "onnxruntime-gpu", *_RUNTIMES)
_ANSI = re.compile(r"\x1b\[([0-9;]+)m(.*?)\x1b\[0m", re.DOTALL)
_CLASSES = {"1;31": "error", "1;33": "warning", "1;34": "gutter"}


@dataclass(frozen=True, slots=True)
class Built:
    """A finished build: its manifest, whose `files` lack the report itself, and where its files lie."""

    manifest: Manifest
    folder: Path


def html(plan: Plan, notes: Notes, built: Built | None = None, measured: Measured | None = None) -> str:
    """The report of a plan; with `built`, of the bundle that was made of it; with `measured`, with its latency.

    Equal arguments give equal pages: it holds no time, no path of a machine.
    """
    summary = summarise(plan)
    values = _of_plan(summary, notes) | (_of_bundle(built, notes) if built else {})
    manifest = built.manifest if built else None
    values |= {
        "manifest": manifest,
        "measured": measured,
        "shown_versions": _TOOLS,
        "commands": list(content.commands(plan, manifest)),
        "versions": _versions(manifest),
    }
    values["figures"] = [*content.figures(summary), *([_proof(values["verdict"])] if built else [])]
    values["sections"] = list(_sections(values))
    page: str = _environment().get_template("report.html.j2").render(values)
    return page


def _of_plan(summary: Summary, notes: Notes) -> dict[str, Any]:
    """What needs no build."""
    from markupsafe import Markup

    plan = summary.plan
    lines, script = choices(plan.spec, notes.origins), _text("script.js")
    stages = content.stages(summary)
    sizes = ", ".join(f"{name} {dim.opt}" for name, dim in plan.spec.dims.items())
    return {
        "spec": plan.spec,
        "version": __version__,
        "hashes": content.hashes(plan),
        "pictures": [
            Markup(drawing.svg(plan, standalone=False, measure=measure, prefix=f"{name}-"))
            for name, measure in (("wide", WIDE), ("narrow", NARROW))
        ],
        "boxes": {box.id: box.nodes[0].name for box in scene(plan).boxes.values() if box.nodes},
        "stages": stages,
        "total": content.total([stage.line for stage in stages]),
        "at": f"At {sizes}." if sizes else "At its fixed sizes.",
        "ports": content.ports(plan, notes.meanings),
        "parts": content.parts(plan),
        "meanings": notes.meanings,
        "nodes": {node.name: str(node.origin) for node in plan},
        "choices": lines,
        "written": sum(line.written for line in lines),
        "anchors": {line.path: number for number, line in enumerate(lines, 1)},
        "findings": [Markup(_painted(finding)) for finding in notes.findings],
        "codes": list(dict.fromkeys(finding.code for finding in notes.findings)),
        "notes": notes.data(),
        "style": Markup(style.variables() + style.of_page(ink.rules() + _text("style.css"))),
        "script": Markup(script),
        "allowed": f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}",
    }


def _of_bundle(built: Built, notes: Notes) -> dict[str, Any]:
    """What a build adds."""
    targets = proof.targets(built.manifest, built.folder, notes)
    series = [each for target in targets for each in target.parity]
    return {
        "targets": targets,
        "verdict": proof.verdict(targets, built.manifest),
        "quantised": [target for target in targets if target.quantisation],
        "only_series": len(series) == 1,
        "axis": Axis.of([row for each in series for row in each.rows]),
    }


@dataclass(frozen=True, slots=True)
class Axis:
    """A logarithmic scale from 10^low to 10^high, 176 wide."""

    low: int
    high: int

    @classmethod
    def of(cls, rows: Sequence[ParityRow]) -> Axis:
        """One for all that is compared, so that plots compare, too."""
        shown = [value for row in rows for value in (row.max_rel, row.tolerance) if 0 < value < math.inf] or [1e-6, 1]
        low, high = math.floor(math.log10(min(shown))), math.ceil(math.log10(max(shown)))
        return cls(low, max(high, low + 1))

    @property
    def ticks(self) -> list[float]:
        return [10.0**power for power in dict.fromkeys((self.low, (self.low + self.high) // 2, self.high))]

    def at(self, value: float) -> float:
        """Where a value lies; what is off the scale, at its end."""
        if not math.isfinite(value):
            return 172.0
        power = math.log10(value) if value > 0 else self.low
        return round(4 + 168 * min(1.0, max(0.0, (power - self.low) / (self.high - self.low))), 1)


def _proof(verdict: proof.Verdict) -> content.Figure:
    return content.Figure("proof", verdict.title, verdict.words, "good" if verdict.state == "proven" else "")


def _versions(manifest: Manifest | None) -> list[tuple[str, str]]:
    if manifest is None:
        return [("netspec", __version__)]
    known, used = manifest.tools, {entry.exporter for entry in manifest.targets.values()}
    told = (name for name in _TOOLS if name in known and (name in used or name not in _RUNTIMES))
    return [("netspec", manifest.version), *((name, known[name]) for name in told)]


def _sections(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Anchors and titles of what is there."""
    yield from (("picture", "Picture"), ("stages", "Stages"), ("contract", "Inputs, outputs"))
    if values["manifest"]:
        yield from (("targets", "Targets"), ("parity", "Parity"))
        if values["quantised"]:
            yield "quantisation", "Quantisation"
    if values["measured"]:
        yield "latency", "Latency"
    count = f" ({len(values['findings'])})" if values["findings"] else ""
    yield from (("choices", "Every choice"), ("findings", f"Findings{count}"), ("repeat", "Repeat it"))


def _painted(finding: Finding) -> str:
    """What a terminal shows, with elements for its colours."""

    def element(match: re.Match[str]) -> str:
        name = _CLASSES.get(match[1])
        return f'<span class="{name}">{match[2]}</span>' if name else f"<b>{match[2]}</b>"

    return _ANSI.sub(element, escape(finding.text))


def _sizes(sizes: Mapping[str, int], order: Mapping[str, Any]) -> str:
    """In the order of the spec's `dims`."""
    return ", ".join(f"{name} {sizes[name]}" for name in order if name in sizes) or "fixed"


def _scaled(value: float, whole: float) -> str:
    """With the digits that the whole's four first ones need, two at least."""
    digits = min(6, max(2, 3 - math.floor(math.log10(whole)))) if whole > 0 else 2
    return f"{value:,.{digits}f}"


def _narrowed(target: Target) -> str:
    """What a target has of the whole network: `, decoded alone, at batch 1`."""
    words = f", {', '.join(target.outputs)} alone" if target.outputs else ""
    sizes = (f"{name} {' to '.join(map(str, dict.fromkeys((dim.min, dim.max))))}" for name, dim in target.dims.items())
    return words + (f", at {', '.join(sizes)}" if target.dims else "")


def _milliseconds(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:,.2f}"


def _decibels(value: float) -> str:
    return f"{value:.1f}" if value < proof.NOISELESS else "∞"


@cache
def _text(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")


@cache
def _environment() -> Environment:
    made = markup.environment(FOLDER)
    made.filters |= {
        "sizes": _sizes, "scaled": _scaled, "decibels": _decibels, "narrowed": _narrowed, "ms": _milliseconds,
    }  # fmt: skip
    return made
