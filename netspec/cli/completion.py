"""What a shell is offered for an argument: specs, variants, targets, paths of `--set` and their values.

Completers are quick (the schema is read, no component is imported), say nothing of what goes wrong, and know only what
stands on the command line. `rejoin` undoes what bash does to words with `=`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from functools import cache, wraps
from pathlib import Path
from typing import Any, TypeAlias

import typer

Found: TypeAlias = "list[tuple[str, str]]"  # what can be written, and what it means

_SPECS = (".yaml", ".yml", ".safetensors", ".onnx")
_INDEX = re.compile(r"(.*)\[(\d*)\]?")
_ARGUMENTS = ("spec", "a", "source")  # that hold the spec which variants, targets and paths are of
_BEFORE = "_NETSPEC_COMPLETE_BEFORE"  # what stands before the word where bash takes it apart: `unet.depth=`


def silent(find: Callable[..., Iterable[tuple[str, str]]]) -> Callable[[typer.Context, str], Found]:
    """A completer that offers what begins like the word, and nothing where it fails."""

    @wraps(find)
    def completer(ctx: typer.Context, incomplete: str) -> Found:
        try:
            return [each for each in find(ctx, incomplete) if each[0].startswith(incomplete)]
        except Exception:
            return []  # a half-written command line is no place for an error

    completer.__annotations__ = {"ctx": typer.Context, "incomplete": str}
    return completer


@silent
def specs(ctx: typer.Context, incomplete: str) -> Iterator[tuple[str, str]]:
    """Files that hold a spec, folders, and shipped specs."""
    from netspec import shipped

    yield from _files(incomplete, _SPECS)
    yield from ((name, "shipped") for name in shipped.names())


@silent
def shipped_specs(ctx: typer.Context, incomplete: str) -> Iterator[tuple[str, str]]:
    """Shipped specs, by their whole names or the last part of them."""
    from netspec import shipped

    names = shipped.names()
    yield from ((name, "") for name in names)
    yield from ((name.rpartition("/")[2], name) for name in names if incomplete and "/" not in incomplete)


@silent
def bundles(ctx: typer.Context, incomplete: str) -> Iterator[tuple[str, str]]:
    """Folders."""
    return _files(incomplete, ())


@silent
def variants(ctx: typer.Context, incomplete: str) -> Iterator[tuple[str, str]]:
    """Variants of the spec on the command line."""
    return ((str(name), "") for name in _data(ctx).get("variants", {}))


@silent
def several_variants(ctx: typer.Context, incomplete: str) -> Iterator[tuple[str, str]]:
    """The same, with commas between them."""
    before, comma, last = incomplete.rpartition(",")
    return ((f"{before}{comma}{name}", about) for name, about in variants(ctx, last))


@silent
def devices(ctx: typer.Context, incomplete: str) -> Iterator[tuple[str, str]]:
    """Devices whose peaks are known, and behind a colon their precisions."""
    from netspec.analysis import roofline

    for name, device in roofline.devices().items():
        yield name, device.title
        if incomplete.startswith(f"{name}:"):
            yield from ((f"{name}:{precision}", device.title) for precision in device.flops)


@silent
def targets(ctx: typer.Context, incomplete: str) -> Iterator[tuple[str, str]]:
    """Targets of the spec on the command line; `onnx` is what it has without any."""
    found = _data(ctx).get("targets") or {"onnx": {"exporter": "onnx"}}
    return ((str(name), str(target.get("exporter", ""))) for name, target in found.items())


@silent
def deployments(ctx: typer.Context, incomplete: str) -> Iterator[tuple[str, str]]:
    """Where a new network can run."""
    from netspec.guide.rules.targets import TARGETS

    return ((name, target.about) for name, target in TARGETS.items())


@silent
def kinds(ctx: typer.Context, incomplete: str) -> Iterator[tuple[str, str]]:
    """Kinds of what a spec can name."""
    from netspec import registry

    yield from ((name, "") for name in sorted(registry.kinds()) if name != "wiring")
    yield from (("convention", ""), ("spec", "shipped specs"))


@silent
def codes(ctx: typer.Context, incomplete: str) -> Iterator[tuple[str, str]]:
    """Codes of diagnostics."""
    from netspec import explanations

    for line in explanations.index().splitlines():
        code, _, title = line.partition(": ")
        yield code, title


@silent
def layouts(ctx: typer.Context, incomplete: str) -> Iterator[tuple[str, str]]:
    """Layouts of weights, read from their files: importing them would import torch."""
    from netspec import shipped

    yield "auto", "told from the keys"
    folder = Path(shipped.__file__).parent / "weights" / "layouts"
    for path in sorted([*folder.glob("*.py"), *folder.glob("*/__init__.py")]):
        names = re.findall(r'^class \w+\(.*\bname="(\w+)"', path.read_text(encoding="utf-8"), re.MULTILINE)
        yield from ((name, "") for name in names)


def settings(ctx: typer.Context, incomplete: str) -> Found:
    """Paths of the spec on the command line, and after `=` the words that may stand there."""
    before = os.environ.get(_BEFORE, "")
    return [(text.removeprefix(before), about) for text, about in _settings(ctx, before + incomplete)]


def axes(ctx: typer.Context, incomplete: str) -> Found:
    """The same for an axis of a sweep, whose values have commas between them."""
    before = os.environ.get(_BEFORE, "")
    path, _, values = (before + incomplete).partition("=")
    given, comma, last = values.rpartition(",")
    if not comma:
        return settings(ctx, incomplete)
    start = f"{path}={given},".removeprefix(before)
    return [(start + text.partition("=")[2], about) for text, about in _settings(ctx, f"{path}={last}")]


@silent
def _settings(ctx: typer.Context, incomplete: str) -> Iterable[tuple[str, str]]:
    path, equals, _ = incomplete.partition("=")
    data, schema = _data(ctx), _schema()
    if equals:
        return _values(schema, data, path)
    found = [each for each in _paths(schema, data, incomplete) if each[0].startswith(incomplete)]
    while len(found) == 1 and "=" not in found[0][0]:  # a shell would put a space behind the only one: go on
        (path, about) = found[0]
        inside = [*_paths(schema, data, f"{path}."), *_values(schema, data, path)]
        found = inside or [(f"{path}=", about)]
    return found


def _paths(schema: dict[str, Any], data: dict[str, Any], written: str) -> Iterator[tuple[str, str]]:
    """Keys, and rows of lists, whose path begins with what is written up to its last part."""
    from netspec import layers, offers

    above, dot, _ = written.rpartition(".")
    at = layers.parse_path(above) if above else ()
    if at is None:
        return
    for offer in [*offers.keys(schema, data, at), *_named(data, at)]:
        key = f"{above}{dot}{offer.text}"
        value = _value(data, (*at, offer.text))
        yield key, offer.about
        if isinstance(value, list) and any(isinstance(each, dict) for each in value):
            yield from ((f"{key}[{index}]", f"row {index} of {len(value)}") for index in range(len(value)))


def _named(data: dict[str, Any], at: tuple[str | int, ...]) -> list[Any]:
    """Keys that are the author's own: inputs, sizes, targets."""
    from netspec import layers, offers

    named = at and at[0] in layers.NAMED and len(at) == 1
    held = _value(data, at)
    return [offers.Offer(str(key), "") for key in held] if named and isinstance(held, dict) else []


def _values(schema: dict[str, Any], data: dict[str, Any], path: str) -> Iterator[tuple[str, str]]:
    """`path=value` for every word that may stand there."""
    from netspec import layers, offers

    at = layers.parse_path(path)
    if at is None:
        return
    words = {offer.text: offer.about for offer in offers.values(schema, data, at)}
    words |= dict.fromkeys(_INSTALLED.get(at[-1], tuple)(), "")
    now = _value(data, at)
    if isinstance(now, bool | int | float | str):
        word = str(now).lower() if isinstance(now, bool) else str(now)
        words[word] = f"{words.get(word, '')} (as it is)".strip()
    yield from ((f"{path}={word}", about) for word, about in words.items())


def _conventions() -> Iterable[str]:
    from netspec import conventions

    return conventions.names()


def _exporters() -> Iterable[str]:
    from netspec import target

    return target.names()


# Keys whose words are whatever is installed, which the schema does not list.
_INSTALLED: Mapping[str | int, Callable[[], Iterable[str]]] = {"convention": _conventions, "exporter": _exporters}


def _value(data: Any, path: tuple[str | int, ...]) -> Any:
    for part in path:
        data = data.get(part) if isinstance(data, dict) else data[part] if isinstance(part, int) else None
    return data


def _data(ctx: typer.Context) -> dict[str, Any]:
    """The plain data of the spec on the command line, with what it extends and its variant; {} without one."""
    from netspec import document, layers, shipped

    # While an option still lacks its value, arguments are left where they were read.
    named = filter(None, (ctx.params.get(name) for name in _ARGUMENTS))
    given = next(iter([*named, *(ctx.params.get("specs") or ()), *ctx.args]), None)
    if not isinstance(given, str):
        return {}
    path = Path(given) if Path(given).exists() else shipped.find(given)
    if path is None:
        return {}
    parsed = document.load(path)
    variant = ctx.params.get("variant")
    known = variant if variant in (parsed.data.get("variants") or {}) else None
    data: dict[str, Any] = layers.compose(parsed, variant=known).data
    return data


@cache
def _schema() -> dict[str, Any]:
    """The committed schema; with packages of components installed, theirs too."""
    import json

    from netspec import plugins, registry, schema

    others = plugins.installed(registry.GROUP)
    found: dict[str, Any] = schema.current() if others else json.loads(schema.PATH.read_text(encoding="utf-8"))
    return found


def _files(incomplete: str, suffixes: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Folders, and files that end so, beside what is written; what is in a folder where it is the only one."""
    folder, slash, start = incomplete.rpartition("/")
    there = Path(folder + slash or ".")
    names = [each for each in (sorted(there.iterdir()) if there.is_dir() else ()) if each.name.startswith(start)]
    names = [each for each in names if start.startswith(".") or not each.name.startswith(".")]
    found = [each for each in names if each.is_dir() or each.suffix in suffixes]
    if len(found) == 1 and found[0].is_dir():
        inside = list(_files(f"{folder}{slash}{found[0].name}/", suffixes))
        yield from inside or [(f"{folder}{slash}{found[0].name}", "folder")]
        return
    for each in found:
        yield f"{folder}{slash}{each.name}{'/' * each.is_dir()}", "folder" if each.is_dir() else ""


def rejoin(environment: MutableMapping[str, str]) -> None:
    """Make `a`, `=`, `b` one word again, as it was typed: bash breaks words at `=` before it asks.

    Of the word that is being written bash keeps what stands up to the `=`, so that is told to `settings` apart.
    """
    if environment.get("_NETSPEC_COMPLETE") != "complete_bash" or "COMP_CWORD" not in environment:
        return
    words = environment.get("COMP_WORDS", "").split("\n")[: int(environment["COMP_CWORD"]) + 1]
    joined: list[str] = []
    glued = False
    for index, word in enumerate(words):
        glued = bool(joined) and "=" in (word, words[index - 1]) and not joined[-1].startswith("-")
        joined[-1:] = [joined[-1] + word] if glued else [*joined[-1:], word]
    if glued:
        path, equals, joined[-1] = joined[-1].partition("=")
        environment[_BEFORE] = path + equals
    environment.update(COMP_WORDS="\n".join(joined), COMP_CWORD=str(len(joined) - 1))
