"""load(): the text of a spec → Document, plain data that knows where every key and value was written.

Safe for any stranger's file: nothing is constructed but dict, list, str, int, float, bool and None, and size, depth and
the number of values are bounded before they cost time or memory.
"""

from __future__ import annotations

import codecs
import difflib
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import IO, Any, Final

from netspec.document import syntax
from netspec.document.composer import Composer, Place
from netspec.errors import Diagnostic, DocumentError, Source, Span, SpecPath, raise_all

MAX_BYTES: Final = 2**20
_SIZE_HELP = "the largest published spec has 4 KiB: is this the right file?"
_SAVE_AS_UTF8 = "save it as UTF-8"
_WEIGHTS_HELP = "if it is a checkpoint: `netspec import` writes the spec of its network"
_BYTE_ORDER_MARKS = (  # UTF-32's little-endian mark begins with UTF-16's
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)
_KINDS = (
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)
_NEIGHBOURS = 2000  # directory entries looked at for "did you mean"


@dataclass(frozen=True, eq=False)
class Document:
    """A spec as written: `data` is plain, its root a dict; `places` has every key and item, and () for the root."""

    source: Source
    data: Any
    places: Mapping[SpecPath, Place]


def load(path: str | os.PathLike[str]) -> Document:
    """Read one spec file. Its name in messages is `path` as given.

    Raises DocumentError (NS001 … NS013) with every finding: what cannot be read, is no text, or is no plain YAML.
    """
    name = os.fsdecode(path)
    return loads(decode(_read(name), name), name)


def loads(text: str, name: str = "<string>") -> Document:
    """Read a spec from text; `name` stands for the file in messages.

    Raises DocumentError (NS001 … NS013) with every finding.
    """
    source = Source(name, text.removeprefix("\ufeff"))
    _check_text(source)
    raise_all(syntax.directives(source, source.text))
    composer = Composer(source, source.text)
    data = composer.read()
    raise_all(composer.found)
    if not isinstance(data, dict):
        raise DocumentError(_not_a_mapping(composer.places.get((), Place(None, _whole(source))), data, source))
    return Document(source, data, composer.places)


def argument_source(arguments: Iterable[str], name: str = "--set") -> Source:
    """Command-line arguments as one source, an argument a line, for `parse_value` and for spans of their keys."""
    return Source(name, "\n".join(" ".join(argument.splitlines()) for argument in arguments))


def parse_value(source: Source, line: int, column: int) -> tuple[Any, dict[SpecPath, Place]]:
    """The value written on one line of `source`, from `column` to the line's end, and its places (() is the value).

    For the right side of `--set unet.levels=[64, 128]`; the source's name is the places' origin. Nothing there is
    None, as an empty value in a file.

    Raises DocumentError as `loads` does, pointing into `source`.
    """
    _check_text(source)
    value = source.lines[line - 1][column - 1 :] if line <= len(source.lines) else ""
    # Padding puts the value where it stands in `source`, so every span is right as it comes from the parser.
    composer = Composer(source, "\n" * (line - 1) + " " * (column - 1) + value)
    data = composer.read()
    raise_all(composer.found)
    places = composer.places or {(): Place(None, Span(source, line, column, line, column))}
    return data, {path: replace(place, origin=source.name) for path, place in places.items()}


def parse_values(source: Source, line: int, column: int) -> list[tuple[Any, dict[SpecPath, Place]]]:
    """The values on one line of `source`, from `column` to its end: a list in flow style without its brackets, as on
    the right side of `--set unet.levels=[64, 128],[32, 64, 128]`, which has two. Places and errors as `parse_value`.
    """
    _check_text(source)
    value = source.lines[line - 1][column - 1 :] if line <= len(source.lines) else ""
    # The bracket takes the place of the `=`, so spans are right here as well.
    composer = Composer(source, "\n" * (line - 1) + " " * (column - 2) + f"[{value}]")
    data = composer.read()
    raise_all(composer.found)
    found: list[tuple[Any, dict[SpecPath, Place]]] = [(item, {}) for item in data]
    for path, place in composer.places.items():
        if path:
            found[int(path[0])][1][path[1:]] = replace(place, origin=source.name)
    return found


def _read(name: str) -> bytes:
    try:
        _refuse_irregular(os.stat(name).st_mode, name)  # before opening: opening a pipe waits, a device may act
        with open(name, "rb", opener=_open_without_waiting) as file:
            return _read_regular(file, name)
    except FileNotFoundError as error:
        raise _unreadable(name, "no such file", *_did_you_mean(name)) from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = error.strerror if isinstance(error, OSError) else None
        raise _unreadable(name, (reason or "not a file name").lower()) from error


def _open_without_waiting(name: str, flags: int) -> int:
    return os.open(name, flags | getattr(os, "O_NONBLOCK", 0))


def _read_regular(file: IO[bytes], name: str) -> bytes:
    found = os.fstat(file.fileno())
    _refuse_irregular(found.st_mode, name)
    data = file.read(MAX_BYTES + 1) if found.st_size <= MAX_BYTES else b""
    if len(data) > MAX_BYTES or (found.st_size and not data):
        raise _file_error("NS007", name, "the file is larger than 1 MiB", _SIZE_HELP)
    return data


def _refuse_irregular(mode: int, name: str) -> None:
    if not stat.S_ISREG(mode):
        what = next((words for test, words in _KINDS if test(mode)), "not a regular file")
        raise _unreadable(name, what, "name a file" if what != "a directory" else "name a file inside it")


def _did_you_mean(name: str) -> Iterator[str]:
    folder, wanted = os.path.split(name)
    try:
        with os.scandir(folder or ".") as entries:
            names = sorted(entry.name for entry in islice(entries, _NEIGHBOURS))
    except (OSError, ValueError):
        yield f"the folder `{folder}` does not exist"
        return
    specs = [spec for spec in names if spec.endswith((".yaml", ".yml"))]
    stems: dict[str, list[str]] = {}
    for spec in specs:
        stems.setdefault(os.path.splitext(spec)[0], []).append(spec)  # the suffix alone makes no two names alike
    close = difflib.get_close_matches(wanted.removesuffix(".yaml").removesuffix(".yml"), stems, n=3)
    found = [spec for stem in close for spec in stems[stem] if spec != wanted]
    if found:
        yield "did you mean " + " or ".join(f"`{os.path.join(folder, spec)}`" for spec in found) + "?"


def decode(data: bytes, name: str) -> str:
    """The text of a file's bytes. Raises DocumentError NS008 where they are no UTF-8."""
    for mark, encoding in _BYTE_ORDER_MARKS:
        if data.startswith(mark):
            raise _file_error("NS008", name, f"this file is {encoding}; {_SAVE_AS_UTF8}")
    if b"\0" in data:
        raise _file_error("NS008", name, "this is a binary file, not text", _WEIGHTS_HELP)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        source = Source(name, data.decode("utf-8", "replace").removeprefix("\ufeff"))
        before = data[: error.start].decode("utf-8").removeprefix("\ufeff")
        span = syntax.span_at(source, source.text, len(before), 1)
        byte = f"byte 0x{data[error.start]:02X} is no UTF-8"
        raise DocumentError(Diagnostic("NS008", "this file is not UTF-8", span, byte, help=(_SAVE_AS_UTF8,))) from error


def _check_text(source: Source) -> None:
    """Refuse what the parser should never see: too much of it, or characters that are no text."""
    text, name = source.text, source.name
    if len(text) > MAX_BYTES or len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise _file_error("NS007", name, "the text is larger than 1 MiB", _SIZE_HELP)
    if "\0" in text:
        raise _file_error("NS008", name, "this is binary, not a spec")
    raise_all(syntax.unprintable(source, text))


def _not_a_mapping(root: Place, data: Any, source: Source) -> Diagnostic:
    help_text = "begin with `netspec: 1`; `netspec new NAME` writes a spec to start from"
    if data is None:
        what = "the file holds only comments" if source.text.strip() else "the file is empty"
        return Diagnostic("NS009", what, _whole(source), help=(help_text,))
    kind = "a list" if isinstance(data, list) else "a single value"
    return Diagnostic("NS009", f"a spec is a mapping of keys, this is {kind}", root.value, kind, help=(help_text,))


def _unreadable(name: str, reason: str, *help_texts: str) -> DocumentError:
    return _file_error("NS010", name, f"cannot read `{name}`: {reason}", *help_texts)


def _file_error(code: str, name: str, message: str, *help_texts: str) -> DocumentError:
    """An error about a file as a whole: its source has no text, so a renderer shows the name alone."""
    return DocumentError(Diagnostic(code, message, _whole(Source(name, "")), help=help_texts))


def _whole(source: Source) -> Span:
    return Span(Source(source.name, ""), 1, 1, 1, 1)
