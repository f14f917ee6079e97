"""The shipped specs as pages: every network and variant with its exact counts, and each spec on a page of its own."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from netspec import analysis, document, layers, planner, registry
from netspec import spec as specs
from netspec.plan import Plan
from netspec.reference.words import linked

FILE = "specs.md"  # below docs/; each spec has a page of its own on the site: specs/unet/sd15.md

_HEADINGS = {"unet": "U-Nets", "dit": "Diffusion transformers", "autoencoder": "Autoencoders", "tiny": "For tests"}
_INTRODUCTION = """Each of these is a name that `netspec` takes wherever it reads a spec: `netspec show tiny/unet`,
`netspec build dit/dit_xl_2 --variant b-4`. Counts are exact, and every row is a test. Fixed numbers are tables that are
not trained. GFLOPs are those of convolutions and matrix products at the `opt` sizes, which are named; a multiply-add
counts as two."""


@dataclass(frozen=True)
class Form:
    """One network of a spec's file: the file's own (no variant), or a variant."""

    variant: str | None
    plan: Plan


def names(folder: Path) -> list[str]:
    """Every spec below a folder: `unet/sd15`."""
    return sorted(path.relative_to(folder).with_suffix("").as_posix() for path in folder.glob("*/*.yaml"))


def forms(folder: Path, name: str) -> list[Form]:
    """The networks of a spec's file."""
    registry.load_all()
    loaded = document.load(folder / f"{name}.yaml")
    variants = [None, *loaded.data.get("variants", {})]
    return [Form(each, planner.lower(specs.resolve(layers.compose(loaded, variant=each)))) for each in variants]


def about(folder: Path, name: str) -> str:
    """The comment that a spec's file begins with, as one paragraph."""
    lines = (folder / f"{name}.yaml").read_text(encoding="utf-8").splitlines()
    first = next(number for number, line in enumerate(lines) if not line.startswith("#"))
    return linked(" ".join(line.removeprefix("#").strip() for line in lines[:first]))


def index(notice: str, folder: Path) -> str:
    """The page of all specs, for `docs/`; `folder` is `specs/` beside it."""
    parts = [notice, "# Shipped specs", _INTRODUCTION]
    shelves: dict[str, list[str]] = defaultdict(list)
    for name in names(folder):
        shelves[name.partition("/")[0]].append(name)
    for shelf, heading in _HEADINGS.items():
        parts.append(f"## {heading}")
        for name in shelves.pop(shelf, []):
            parts += [f"### {name}", f"{about(folder, name)} [The file](../specs/{name}.yaml)."]
            parts.append("\n".join(table(forms(folder, name))))
    assert not shelves, f"give these a heading: {sorted(shelves)}"
    return "\n\n".join(parts) + "\n"


def table(found: list[Form]) -> Iterator[str]:
    """The counts of a spec's networks, as Markdown."""
    rows = [(form, analysis.summarise(form.plan)) for form in found]
    sizes = [", ".join(f"{size}\u00a0{value}" for size, value in summary.sizes.items()) for _, summary in rows]
    differ = len(set(sizes)) > 1
    yield f"| variant | parameters | fixed | GFLOPs |{' at |' * differ}"
    yield f"|---|---:|---:|---:|{'---|' * differ}"
    for (form, summary), at in zip(rows, sizes, strict=True):
        cost, name = form.plan.cost, f"`{form.variant}`" if form.variant else "none"
        yield f"| {name} | {cost.params:,} | {cost.frozen:,} | {summary.gflops:,.2f} |{f' {at} |' * differ}"
    if not differ:
        yield from ("", f"GFLOPs at {sizes[0]}.")


def page(folder: Path, name: str, picture: str) -> str:
    """A spec on a page of its own: what it is, its picture (HTML, "" for none), its counts and its file."""
    text = (folder / f"{name}.yaml").read_text(encoding="utf-8")
    extended = re.search(r"^extends: *([^ #\n]+)", text, re.MULTILINE)
    parts = [f"# {name}", about(folder, name), picture, "\n".join(table(forms(folder, name)))]
    if extended:
        base = Path(os.path.normpath(Path(name).parent / extended[1])).with_suffix("").as_posix()
        parts.append(f"It extends [{base}](../{base}.md).")
    parts.append(f'```yaml title="specs/{name}.yaml"\n{text.rstrip()}\n```')
    return "\n\n".join(part for part in parts if part) + "\n"
