"""`manifest.json`: what a bundle holds, and the proof that it still does.

Byte-identical for identical content: fixed key order, sorted tables, no time, no path of this machine.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from netspec.errors import Diagnostic, WeightsError
from netspec.weights.files import cannot_write, sha256_file
from netspec.weights.header import cannot_read, strict_json

MANIFEST = "manifest.json"
FORMAT = 2
_MAX_BYTES = 16 << 20
_AGAIN = ("build it again: netspec build SPEC -o DIR --force",)


@dataclass(frozen=True, slots=True)
class FileEntry:
    """One file of a bundle: its size and its SHA-256 in hexadecimal."""

    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Port:
    """An input or output of the network; a size is a number or the name of a dimension."""

    name: str
    dtype: str
    shape: tuple[int | str, ...]


@dataclass(frozen=True, slots=True)
class TargetEntry:
    """One target of a bundle: who wrote it, in which precision, its main file, and why a second build may differ from
    it in bytes ("" where it may not)."""

    exporter: str
    precision: str
    file: str
    stamped: str = ""


@dataclass(frozen=True, slots=True)
class ParityRow:
    """One comparison of two backends. Non-finite differences are written as null and read back as infinity."""

    sizes: dict[str, int]
    timestep: float | None  # None for a network without one
    dtype: str
    max_abs: float
    max_rel: float
    tolerance: float
    passed: bool
    output: str = ""  # which one, in a network of several
    target: str = ""  # which one; the plain `onnx` goes without saying


@dataclass(frozen=True, slots=True)
class Manifest:
    """The manifest of one bundle. `files` maps paths below the folder, with `/`, and lacks the manifest itself."""

    name: str
    spec_sha256: str
    params: int
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    files: dict[str, FileEntry]
    targets: dict[str, TargetEntry] = field(default_factory=dict)
    parity: tuple[ParityRow, ...] = ()
    tools: dict[str, str] = field(default_factory=dict)
    recipe: dict[str, str] = field(default_factory=dict)  # where the weights are from, and which targets were built
    version: str = ""  # of netspec, which wrote the bundle

    def text(self) -> str:
        """The exact content of manifest.json. `netspec.sha256` is that of the same text with "" in its place."""
        return self._text(hashlib.sha256(self._text("").encode()).hexdigest())

    def _text(self, digest: str) -> str:
        document = {
            "netspec": {"format": FORMAT, "version": self.version, "sha256": digest},
            "name": self.name,
            "spec_sha256": self.spec_sha256,
            "params": self.params,
            "inputs": [asdict(port) for port in self.inputs],
            "outputs": [asdict(port) for port in self.outputs],
            "files": {path: asdict(self.files[path]) for path in sorted(self.files)},
            "targets": {name: asdict(entry) for name, entry in self.targets.items()},
            "parity": [_finite(_named(asdict(row))) for row in self.parity],
            "tools": dict(sorted(self.tools.items())),
            "recipe": dict(sorted(self.recipe.items())),
        }
        return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    def write(self, folder: str | os.PathLike[str]) -> None:
        """Write manifest.json into `folder`. WeightsError NS617 when that fails."""
        path = Path(folder, MANIFEST)
        try:
            path.write_text(self.text(), encoding="utf-8", newline="\n")
        except OSError as error:
            raise cannot_write(path, error) from error

    @classmethod
    def read(cls, folder: str | os.PathLike[str]) -> Manifest:
        """Read the manifest of the bundle `folder`. WeightsError NS614 when there is none that we wrote."""
        path = Path(folder, MANIFEST)
        if path.is_symlink() or not path.is_file():
            what = "does not exist" if not Path(folder).exists() else f"has no {MANIFEST}"
            raise _no_bundle(folder, what)
        try:
            if path.stat().st_size > _MAX_BYTES:
                raise _no_bundle(folder, f"has a {MANIFEST} of more than {_MAX_BYTES:,} bytes")
            return _parse(strict_json(path.read_bytes()))
        except OSError as error:
            raise cannot_read(path, error) from error
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
            reason = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
            raise _no_bundle(folder, f"has a {MANIFEST} that netspec did not write: {reason[:200]}") from error

    def is_intact(self, folder: str | os.PathLike[str]) -> bool:
        """Whether the manifest in `folder` is byte for byte what netspec wrote."""
        return Path(folder, MANIFEST).read_bytes() == self.text().encode()

    def check_files(
        self, folder: str | os.PathLike[str], wanted: Callable[[str], bool] = lambda path: True
    ) -> list[Diagnostic]:
        """Compare every file below `folder` with the manifest, byte for byte; one diagnostic per difference, by path.

        NS611 changed or truncated, NS612 missing, NS613 unexpected. WeightsError NS607 when a file cannot be read.
        """
        present = list_files(folder)
        found = []
        for path in filter(wanted, sorted({*self.files, *present})):
            if path not in self.files:
                found.append(Diagnostic("NS613", f"{path} is not part of the bundle", help=("move it elsewhere",)))
            elif path not in present:
                found.append(Diagnostic("NS612", f"{path} is missing", help=_AGAIN))
            elif difference := _difference(Path(folder, path), self.files[path]):
                found.append(Diagnostic("NS611", f"{path} {difference}", help=_AGAIN))
        return found


def file_entries(folder: str | os.PathLike[str], known: Mapping[str, str] | None = None) -> dict[str, FileEntry]:
    """The `files` of a manifest for all below `folder`; `known` maps paths to hashes that need no reading."""
    known = known or {}
    return {
        path: FileEntry(Path(folder, path).stat().st_size, known.get(path) or sha256_file(Path(folder, path)))
        for path in list_files(folder)
    }


def file_entry(content: bytes) -> FileEntry:
    """That of a file with this content."""
    return FileEntry(len(content), hashlib.sha256(content).hexdigest())


def list_files(folder: str | os.PathLike[str]) -> list[str]:
    """Every file and link below `folder` but the manifest, sorted, with `/`. Links to folders count as files."""
    found = []
    for parent, folders, files in os.walk(folder):
        links = [name for name in folders if Path(parent, name).is_symlink()]
        found += [Path(parent, name).relative_to(folder).as_posix() for name in (*files, *links)]
    return sorted(path for path in found if path != MANIFEST)


def _difference(path: Path, entry: FileEntry) -> str:
    if path.is_symlink() or not path.is_file():
        return "is a link, not a file: ONNX runtimes refuse it"
    size = path.stat().st_size
    if size != entry.bytes:
        return f"{'is truncated' if size < entry.bytes else 'has grown'}: {size:,} bytes, were {entry.bytes:,}"
    digest = sha256_file(path)
    return "" if digest == entry.sha256 else f"has changed: SHA-256 is {digest[:16]}…, was {entry.sha256[:16]}…"


def _no_bundle(folder: str | os.PathLike[str], what: str) -> WeightsError:
    return WeightsError(
        Diagnostic(
            "NS614",
            f"{os.fspath(folder)} is not a netspec bundle: it {what}",
            help=("name a folder that `netspec build` wrote",),
        )
    )


def _finite(row: dict[str, Any]) -> dict[str, Any]:
    row["sizes"] = dict(sorted(row["sizes"].items()))
    return {key: None if isinstance(value, float) and not math.isfinite(value) else value for key, value in row.items()}


def _named(row: dict[str, Any]) -> dict[str, Any]:
    """A row without the name of its output, where the network has only one, and of the plain target."""
    return {key: value for key, value in row.items() if key not in ("output", "target") or value}


def _parse(document: Any) -> Manifest:
    """A parsed manifest.json as a Manifest; ValueError, KeyError or TypeError when it is not one."""
    if document["netspec"]["format"] != FORMAT:
        raise ValueError(f"its format is {document['netspec']['format']!r}, this netspec reads {FORMAT}")
    files = {
        _safe(path): FileEntry(int(entry["bytes"]), str(entry["sha256"])) for path, entry in document["files"].items()
    }
    if wrong := [path for path, entry in files.items() if not re.fullmatch("[0-9a-f]{64}", entry.sha256)]:
        raise ValueError(f"the SHA-256 of {wrong[0]} is none")
    return Manifest(
        name=str(document["name"]),
        spec_sha256=str(document["spec_sha256"]),
        params=int(document["params"]),
        inputs=tuple(map(_port, document["inputs"])),
        outputs=tuple(map(_port, document["outputs"])),
        files=files,
        targets={str(name): _target(entry) for name, entry in document["targets"].items()},
        parity=tuple(map(_row, document["parity"])),
        tools={str(name): str(version) for name, version in document["tools"].items()},
        recipe={str(name): str(value) for name, value in document["recipe"].items()},
        version=str(document["netspec"]["version"]),
    )


def _safe(path: str) -> str:
    """A path that stays inside the bundle on every platform; anything else is hostile."""
    pure = PurePosixPath(path)
    if (
        pure.is_absolute()
        or str(pure) != path
        or ".." in pure.parts
        or not pure.parts
        or re.search(r"[\\:\x00-\x1f]", path)
    ):
        raise ValueError(f"the path {path!r} leaves the bundle")
    return path


def _port(entry: Any) -> Port:
    shape = tuple(size if isinstance(size, str) else int(size) for size in entry["shape"])
    return Port(str(entry["name"]), str(entry["dtype"]), shape)


def _target(entry: Any) -> TargetEntry:
    file = _safe(str(entry["file"]))
    return TargetEntry(str(entry["exporter"]), str(entry["precision"]), file, str(entry["stamped"]))


def _row(entry: Any) -> ParityRow:
    numbers = {
        key: math.inf if entry[key] is None else float(entry[key]) for key in ("max_abs", "max_rel", "tolerance")
    }
    timestep = None if entry["timestep"] is None else float(entry["timestep"])
    sizes = {str(name): int(size) for name, size in entry["sizes"].items()}
    return ParityRow(
        sizes=sizes,
        timestep=timestep,
        dtype=str(entry["dtype"]),
        passed=bool(entry["passed"]),
        output=str(entry.get("output", "")),
        target=str(entry.get("target", "")),
        **numbers,
    )
