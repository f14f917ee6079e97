"""The pages as Markdown."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

from netspec import registry, schema
from netspec.reference import catalogue, top
from netspec.reference.catalogue import Key, Page, Section
from netspec.reference.usage import Usage, usage
from netspec.reference.words import anchor, code, linked, listed

NOTICE = "<!-- Written by `python -m netspec.reference`; edit the docstrings and `Param`s that it reads. -->"
_TITLE = "The netspec language"
_NAMED = 4  # specs that an entry names where there are many
_FOR_TESTS = "tiny/"


def texts(specs: Path) -> dict[str, str]:
    """Every page by its file name; `specs` is the folder of the shipped specs."""
    registry.load_all()
    used = usage(specs)
    found = [top.page(schema.emit(), used), *catalogue.pages(used)]
    return {"index.md": _index(found)} | {page.name: _page(page, used) for page in found}


def write(folder: Path, specs: Path) -> None:
    """Write every page into `folder`, and remove pages that are no longer made."""
    folder.mkdir(parents=True, exist_ok=True)
    made = texts(specs)
    for path in folder.glob("*.md"):
        if path.name not in made:
            path.unlink()
    for name, text in made.items():
        (folder / name).write_text(text, encoding="utf-8", newline="\n")


def _index(pages: list[Page]) -> str:
    lines = [NOTICE, "", f"# {_TITLE}", ""]
    lines += ["Every key of a spec: what it means, what it takes, what holds without it, and who uses it.", ""]
    for page in pages:
        titles = [section.title for section in page.sections if section.definition]
        names = [f"[{title}]({page.name}#{anchor(title)})" for title in titles]
        lines.append(f"- [{page.title}]({page.name}): {', '.join(names)}")
    return "\n".join(lines) + "\n"


def _page(page: Page, used: Usage) -> str:
    parts = [NOTICE, f"# {page.title}"]
    if page.text:
        parts.append(linked(page.text))
    for section in page.sections:
        parts += _section(section, used)
    return "\n\n".join(parts) + "\n"


def _section(section: Section, used: Usage) -> Iterator[str]:
    yield f"{'#' * section.depth} {section.title}"
    if section.text:
        yield linked(section.text)
    if section.example:
        yield f"```yaml\n{section.example.rstrip()}\n```"
    if section.holders is not None:
        yield f"Used by {_specs(section.holders, used.specs)}."
    if section.keys:
        yield "\n".join(_table(section.keys))
    if written := [key for key in section.keys if key.specs]:
        yield "\n".join(["Written by", "", *(f"- `{key.name}`: {_specs(key.specs, used.specs)}" for key in written)])
    if idle := [code(key.name) for key in section.keys if not key.specs]:
        yield f"No shipped spec writes {listed(idle)}."


def _table(keys: Collection[Key]) -> Iterator[str]:
    yield "| key | meaning | takes | default | example |"
    yield "|---|---|---|---|---|"
    for key in keys:
        cells = (f"`{key.name}`", key.meaning, key.takes, key.default, f"`{key.example}`")
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _specs(names: Collection[str], all_names: Collection[str]) -> str:
    """The specs by name: all, or the first few; published networks before those for tests."""
    if not names:
        return "no shipped spec"
    if set(names) >= set(all_names):
        return "every shipped spec"
    ordered = sorted(names, key=lambda name: (name.startswith(_FOR_TESTS), name))
    more = len(ordered) - _NAMED if len(ordered) > _NAMED + 1 else 0
    shown = [*map(_spec, ordered[: _NAMED if more else None]), *([f"{more} more"] if more else [])]
    return listed(shown, "and")


def _spec(name: str) -> str:
    return f"[{name}](../../specs/{name}.yaml)"
