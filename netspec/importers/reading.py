"""read(): a file of another program → the draft of a spec, and a word on where it comes from."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path

from netspec import api, document, planner
from netspec.document import Document
from netspec.errors import Diagnostic, DocumentError, ForeignError
from netspec.importers import Draft, Importer, Options, checkpoint, compvis, importers
from netspec.importers.drafts import lowered
from netspec.importers.foreign import Config
from netspec.importers.writing import text
from netspec.plan import Plan

CONFIG = "config.json"
ANYTHING = Options()  # nobody has said anything


@dataclass(frozen=True)
class Imported:
    """A network that another program described: its spec as text, its plan, and what had to be assumed. `idle` are
    the options that make no difference to it."""

    text: str
    plan: Plan
    assumed: tuple[str, ...] = ()
    idle: tuple[str, ...] = ()


def import_file(path: str | os.PathLike[str], options: Options = ANYTHING) -> Imported:
    """The spec of a diffusers `config.json` (or the folder with it), of a CompVis YAML file or of a bare checkpoint.

    Raises ForeignError: NS640 for a file that nothing here knows, NS641 to NS643 for settings that a spec cannot say,
    NS644 and NS645 for a checkpoint whose shapes do not tell enough. DocumentError and WeightsError where the file
    itself cannot be read.
    """
    draft, origin = read(Path(path), options)
    cost = lowered(draft, origin).cost
    counts = {"params": cost.params} | ({"frozen": cost.frozen} if cost.frozen else {})
    spec = api.loads(json.dumps({**draft.data, "expect": counts}))
    header = [f"Imported from {origin}; {cost.params:,} parameters.", *(f"Assumed: {each}." for each in draft.assumed)]
    written = text(spec, header, draft.comments)
    idle = tuple(sorted(options.given - draft.options))
    return Imported(written, planner.lower(api.loads(written)), draft.assumed, idle)


def read(path: Path, options: Options) -> tuple[Draft, str]:
    """What the file describes."""
    if path.is_dir():
        if not (path / CONFIG).is_file():
            return _of_folder(path, options)
        path = path / CONFIG
    if path.suffix == ".json" and not path.name.endswith(".index.json"):
        reader = _of_class
    elif path.suffix in (".yaml", ".yml"):
        reader = compvis.read
    else:
        return checkpoint.read(path, options)
    parsed = _settings(path)
    try:
        return reader(parsed, options)
    except (ArithmeticError, AttributeError, IndexError, TypeError, ValueError) as error:
        message = f"{parsed.source.name} has a value that its class would not take: {error}"
        raise ForeignError(Diagnostic("NS643", message)) from error


def _of_folder(path: Path, options: Options) -> tuple[Draft, str]:
    """Weights that lie in a folder without a word on their network."""
    parts = sorted(each.parent.name for each in path.glob(f"*/{CONFIG}"))
    if not parts and any(each.is_file() for each in path.iterdir()):
        return checkpoint.read(path, options)
    help = f"import one of its parts: {', '.join(parts)}" if parts else "name the file itself"
    raise ForeignError(Diagnostic("NS640", f"{path} has no {CONFIG}", help=(help,)))


def _settings(path: Path) -> Document:
    try:
        parsed = document.load(path)
    except DocumentError as error:
        first = error.diagnostics[0]
        if first.code != "NS009":
            raise
        message = f"{path.name} holds no settings: {first.message.rpartition(', this is ')[2]}"
        help = "a diffusers config.json is a mapping with a `_class_name`, a CompVis file one with a `model`"
        raise ForeignError(replace(first, code="NS640", message=message, help=(help,))) from error
    if "netspec" in parsed.data:
        key = parsed.places[("netspec",)].key
        help = f"every command reads it as it is: `netspec show {path}`, `netspec build {path}`"
        raise ForeignError(Diagnostic("NS640", f"{path.name} is a spec already", key, help=(help,)))
    return parsed


def _of_class(parsed: Document, options: Options) -> tuple[Draft, str]:
    name = parsed.data.get("_class_name")
    known = {found.cls: found for found in importers().values() if found.program == "diffusers"}
    if name not in known:
        raise ForeignError(_unknown(parsed, name, list(known)))
    importer: type[Importer] = known[name]
    draft = importer.to_spec(Config(parsed, (), importer.defaults), options)
    return draft, f"{Path(parsed.source.name).name} ({importer.program}, {name})"


def _unknown(parsed: Document, name: object, known: list[str]) -> Diagnostic:
    close = get_close_matches(str(name), known, n=1, cutoff=0.8)
    hint = (f"did you mean {close[0]}?",) if close else ()
    listed = (*hint, f"classes that netspec knows: {', '.join(sorted(known))}")
    place = parsed.places.get(("_class_name",))
    if place is None:
        message = f"{parsed.source.name} does not say which class it is for"
        return Diagnostic("NS640", message, help=("a diffusers config has a `_class_name`", *listed))
    if str(name).endswith("Pipeline"):
        listed = ("import one of its parts: the folder `unet`, `transformer` or `vae` beside it",)
    return Diagnostic("NS640", f"`{name}` is no class that netspec knows", place.value, "the class", help=listed)
