"""read(): a file of another program → the draft of a spec, and a word on where it comes from."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from netspec import api, document, planner
from netspec.document import Document
from netspec.errors import Diagnostic, ForeignError
from netspec.importers import Draft, Importer, Options, checkpoint, compvis, importers
from netspec.importers.drafts import lowered
from netspec.importers.foreign import Config
from netspec.importers.writing import text
from netspec.plan import Plan

CONFIG = "config.json"
ANYTHING = Options()  # nobody has said anything


@dataclass(frozen=True)
class Imported:
    """A network that another program described: its spec as text, its plan, and what had to be assumed."""

    text: str
    plan: Plan
    assumed: tuple[str, ...]


def import_file(path: str | os.PathLike[str], options: Options = ANYTHING) -> Imported:
    """The spec of a diffusers `config.json` (or the folder with it), of a CompVis YAML file or of a bare checkpoint.

    Raises ForeignError: NS640 for a file that nothing here knows, NS641 to NS643 for settings that a spec cannot say,
    NS644 and NS645 for a checkpoint whose shapes do not tell enough. DocumentError and WeightsError where the file
    itself cannot be read.
    """
    draft, origin = read(Path(path), options)
    idle = [f"`--{each.replace('_', '-')}` says nothing about it" for each in sorted(options.given - draft.options)]
    assumed = (*draft.assumed, *idle)
    cost = lowered(draft, origin).cost
    counts = {"params": cost.params} | ({"frozen": cost.frozen} if cost.frozen else {})
    spec = api.loads(json.dumps({**draft.data, "expect": counts}))
    header = [f"Imported from {origin}; {cost.params:,} parameters.", *(f"Assumed: {each}." for each in assumed)]
    written = text(spec, header, draft.comments)
    return Imported(written, planner.lower(api.loads(written)), assumed)


def read(path: Path, options: Options) -> tuple[Draft, str]:
    """What the file describes."""
    if path.is_dir():
        if not (path / CONFIG).is_file():
            raise ForeignError(_no_config(path))
        path = path / CONFIG
    if path.suffix == ".json" and not path.name.endswith(".index.json"):
        reader = _of_class
    elif path.suffix in (".yaml", ".yml"):
        reader = compvis.read
    else:
        return checkpoint.read(path, options)
    parsed = document.load(path)
    try:
        return reader(parsed, options)
    except (ArithmeticError, AttributeError, IndexError, TypeError, ValueError) as error:
        message = f"{parsed.source.name} has a value that its class would not take: {error}"
        raise ForeignError(Diagnostic("NS643", message)) from error


def _of_class(parsed: Document, options: Options) -> tuple[Draft, str]:
    name = parsed.data.get("_class_name")
    known = {found.cls: found for found in importers().values() if found.program == "diffusers"}
    if name not in known:
        raise ForeignError(_unknown(parsed, name, list(known)))
    importer: type[Importer] = known[name]
    draft = importer.to_spec(Config(parsed, (), importer.defaults), options)
    return draft, f"{Path(parsed.source.name).name} ({importer.program}, {name})"


def _unknown(parsed: Document, name: object, known: list[str]) -> Diagnostic:
    close = get_close_matches(str(name), known, n=1)
    hint = (f"did you mean {close[0]}?",) if close else ()
    listed = (*hint, f"classes that netspec knows: {', '.join(sorted(known))}")
    place = parsed.places.get(("_class_name",))
    if place is None:
        message = f"{parsed.source.name} does not say which class it is for"
        return Diagnostic("NS640", message, help=("a diffusers config has a `_class_name`", *listed))
    if str(name).endswith("Pipeline"):
        listed = ("import one of its parts: the folder `unet`, `transformer` or `vae` beside it",)
    return Diagnostic("NS640", f"`{name}` is no class that netspec knows", place.value, "the class", help=listed)


def _no_config(path: Path) -> Diagnostic:
    parts = sorted(each.parent.name for each in path.glob(f"*/{CONFIG}"))
    help = f"import one of its parts: {', '.join(parts)}" if parts else "name the file itself"
    return Diagnostic("NS640", f"{path} has no {CONFIG}", help=(help,))
