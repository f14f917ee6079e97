"""Reports as tests read them: a parser that insists on balance, figures of a benchmark, and markup wherever it fits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from netspec import api, report
from netspec.report import bundle, measured
from netspec.report.notes import Finding, Notes

HOSTILE = "<script>alert(1)</script>"
VOID = {"meta", "input", "br", "path", "circle", "rect", "stop", "line", "use", "link"}
FIGURES: dict[str, Any] = {
    "name": "tiny-dit",
    "environment": {
        "cpu": f"A processor {HOSTILE}", "features": [], "processors": 2, "threads": 2, "load": None, "system": "Linux",
        "versions": {"torch": "2.13.0", "python": "3.11"},
    },
    "memory_by": "",
    "timings": [
        {
            "backend": name, "precision": "fp32", "outputs": [], "sizes": {"batch": 2, "height": 16}, "median_ms": ms,
            "p90_ms": 2 * ms, "samples_per_second": 2000 / ms, "peak_bytes": 64_000_000, "load_s": 1, "first_s": 1,
            "ratio": {"to": "torch", "value": ms / 8, "low": ms / 9, "high": ms / 7}, "rounds": 3, "runs": 9,
        }
        for name, ms in (("torch", 8.0), ("onnx", 2.0))
    ],
    "not_run": [{"backend": "gpu", "outputs": [], "sizes": {}, "reason": "there is none"}],
    "nodes": [
        {
            "backend": "onnx", "outputs": [], "sizes": {"batch": 2}, "runs": 9, "total_ms": 2.0,
            "rows": [
                {"node": "block_0", "place": "dit.yaml:26", "ms": 1.5, "share": 0.75, "gflops_per_second": 3.0,
                 "operations": 9},
                {"node": "(between operations)", "place": "", "ms": 0.5, "share": 0.25, "gflops_per_second": None,
                 "operations": 0},
            ],
        }
    ],
}  # fmt: skip


class Parsed(HTMLParser):
    """A page's elements, checked for balance, with the text of each section."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.texts: dict[str, list[str]] = {"": []}
        self.section = ""
        self.scripts: list[dict[str, str | None]] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        assert len(given) == len(attrs), "an attribute twice"
        assert not [name for name in given if name.startswith("on")], "a handler in an attribute"
        self.ids += [str(given["id"])] if "id" in given else []
        self.links += [str(given[name]) for name in ("href", "src") if name in given]
        if tag == "script":
            self.scripts.append(given)
        if tag == "section":
            self.section = str(given["id"])
            self.texts[self.section] = []
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in VOID:
            return
        assert self.open.pop() == tag
        if tag == "section":
            self.section = ""

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("script", "style"):
            self.texts[self.section].append(data)

    def words(self, section: str) -> str:
        """The text of one section, or of all that is in none."""
        return " ".join(" ".join(self.texts[section]).split())


def parsed(folder: Path) -> Parsed:
    return Parsed((folder / bundle.FILE).read_text(encoding="utf-8"))


def page_of(text: str, notes: Callable[[Notes], Notes] = lambda notes: notes) -> str:
    """The report of a spec that was not built."""
    plan = api.lower(api.loads(text, name="somewhere/net.yaml"))
    return report.html(plan, notes(Notes.of(plan)))


def hostile_page() -> str:
    """Markup wherever an author or a file can put any."""
    plan = api.lower(api.load("tiny/unet"))
    spec = replace(plan.spec, name=HOSTILE, description=f'"{HOSTILE}"</title>')
    notes = Notes.of(plan)
    notes = replace(
        notes,
        meanings={"x": HOSTILE, "y": "</script><!--"},
        origins=dict.fromkeys(notes.origins, HOSTILE),
        findings=(Finding(HOSTILE, "warning", f"\x1b[1;33m{HOSTILE}\x1b[0m{HOSTILE}"),),
        remarks=(HOSTILE,),
    )
    data = FIGURES | {"name": HOSTILE, "not_run": [{"backend": HOSTILE, "reason": HOSTILE}]}
    return report.html(replace(plan, spec=spec), notes, None, measured._measured(data))
