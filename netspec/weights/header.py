"""The header of any `.safetensors` file, read with suspicion.

    file = length (8 bytes, little endian) | JSON of that length | data
    JSON = {"__metadata__": {str: str}, name: {"dtype": "F32", "shape": [2, 3], "data_offsets": [start, end]}, …}

Offsets count from the first byte of data; the tensors cover the data without a hole and without overlap. A file comes
from anywhere, so every statement in the header is checked against the others and against the size of the file.
"""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from netspec.errors import Diagnostic, WeightsError

MAX_HEADER = 25_000_000  # bytes; 700 tensors take 0.1 MB, and parsing costs up to 25x this much memory
MAX_RANK = 64  # what torch allows

DTYPE_BITS: dict[str, int] = {
    "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "BOOL": 8, "U8": 8, "I8": 8, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8,
    "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8, "U16": 16, "I16": 16, "F16": 16, "BF16": 16, "U32": 32, "I32": 32, "F32": 32,
    "U64": 64, "I64": 64, "F64": 64, "C64": 64,
}  # fmt: skip

FOREIGN = (  # how files begin that are no safetensors
    (b"version https://git-lfs", "this is a git-lfs pointer, not the weights: run `git lfs pull`"),
    (b"PK\x03\x04", "this is a zip archive, most likely a PyTorch checkpoint: load it as .pt/.ckpt instead"),
    (b"\x80\x02", "this is a pickle, most likely an old PyTorch checkpoint: load it as .pt/.ckpt instead"),
    (b"GGUF", "this is a GGUF file: netspec reads safetensors"),
    (b"\x89HDF", "this is an HDF5 file: netspec reads safetensors"),
    (b"<", "this is a web page: the download was refused or needs a login"),
)


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """One tensor as safetensors describes it: `dtype` is one of `DTYPE_BITS`."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def bytes(self) -> int:
        return -(-math.prod(self.shape) * DTYPE_BITS[self.dtype] // 8)


@dataclass(frozen=True, slots=True)
class Header:
    """What a file says about itself, found to be consistent. `places` are [start, end) from the file's first byte."""

    text: bytes
    metadata: dict[str, str]
    tensors: tuple[TensorInfo, ...]
    places: tuple[tuple[int, int], ...]
    size: int


def read_header(path: str | os.PathLike[str]) -> Header:
    """Read and check the header of the safetensors file at `path`; tensors come in the order of their data.

    Raises WeightsError: NS601 (not safetensors, or a header that contradicts itself), NS602 (truncated),
    NS607 (cannot be read).
    """
    try:
        if not Path(path).is_file() and Path(path).exists():
            _fail("NS607", path, "is not a regular file", "name a .safetensors file")
        with Path(path).open("rb") as file:
            return _Reader(path, file).header()
    except OSError as error:
        raise cannot_read(path, error) from error


def cannot_read(path: str | os.PathLike[str], error: OSError) -> WeightsError:
    """NS607 in the user's words for an OSError met while reading `path`."""
    reason = error.strerror or str(error)
    return WeightsError(
        Diagnostic("NS607", f"cannot read {os.fspath(path)}: {reason}", help=("check the path and its permissions",))
    )


def strict_json(text: bytes) -> Any:
    """Parse JSON that repeats no key and has no NaN. Raises ValueError with a short reason for anything else."""
    try:
        return json.loads(text.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_no_constant)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8 text") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"it is not JSON ({error.msg} at character {error.pos})") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    "".join(result).encode()  # half a surrogate pair is no text: ValueError
    if len(result) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"it names {_quoted(twice)} twice")
    return result


def _no_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is not JSON")


def _quoted(name: object) -> str:
    """A name from an untrusted file, fit for one line of a terminal."""
    text = ascii(name) if isinstance(name, str) else f"a {type(name).__name__}"  # a nested value could recurse
    return text if len(text) <= 120 else f"{text[:117]}…'"


def _fail(code: str, path: str | os.PathLike[str], what: str, *help: str) -> NoReturn:
    raise WeightsError(Diagnostic(code, f"{os.fspath(path)} {what}", help=help))


class _Reader:
    """One reading of one file; exists so that every finding can name the file and the bytes."""

    def __init__(self, path: str | os.PathLike[str], file: BinaryIO) -> None:
        self.path = path
        self.file = file
        self.size = os.fstat(file.fileno()).st_size

    def header(self) -> Header:
        text = self._text()
        try:
            document = strict_json(text)
        except ValueError as error:
            self._corrupt(f"bytes 8 to {8 + len(text):,} should be its header, but {error}")
        if not isinstance(document, dict):
            self._corrupt("the header is not a JSON object")
        metadata = self._metadata(document.pop("__metadata__", {}))
        found = [self._tensor(name, entry) for name, entry in document.items()]
        found.sort(key=lambda pair: pair[1])  # stable: empty tensors at one place keep the header's order
        self._check_cover(found, 8 + len(text))
        places = tuple((8 + len(text) + start, 8 + len(text) + end) for _, (start, end) in found)
        return Header(text, metadata, tuple(info for info, _ in found), places, self.size)

    def _text(self) -> bytes:
        head = self.file.read(32)
        for magic, explanation in FOREIGN:
            if head.lstrip().startswith(magic) and head[8:9] != b"{":
                _fail("NS601", self.path, "is not a safetensors file", explanation)
        if len(head) < 8:
            _fail("NS602", self.path, f"has {self.size} bytes; a safetensors file has at least 10", *_AGAIN)
        length = int.from_bytes(head[:8], "little")
        if length == 0:  # AlignedWriter puts the header in last, so an unfinished file begins with zeros
            _fail("NS601", self.path, "has no header: the program that wrote it did not finish", *_AGAIN)
        if length > MAX_HEADER:
            _fail(
                "NS601", self.path, f"is not a safetensors file, or is corrupt: its first 8 bytes announce a header of "
                f"{length:,} bytes (at most {MAX_HEADER:,} are read)", *_AGAIN,
            )  # fmt: skip
        if head[8:9] not in (b"{", b""):
            _fail("NS601", self.path, "is not a safetensors file: byte 8 should be '{'", *_AGAIN)
        if length > self.size - 8:
            _fail(
                "NS602", self.path, f"is truncated inside its header: {8 + length:,} bytes are announced, the file has "
                f"{self.size:,}", *_AGAIN,
            )  # fmt: skip
        self.file.seek(8)
        return self.file.read(length)

    def _metadata(self, value: object) -> dict[str, str]:
        if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
            self._corrupt("__metadata__ should map strings to strings")
        return {key: text.encode("utf-8", "replace").decode() for key, text in value.items()}

    def _tensor(self, name: str, entry: object) -> tuple[TensorInfo, tuple[int, int]]:
        if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
            self._corrupt(f"tensor {_quoted(name)} should have exactly dtype, shape and data_offsets")
        dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
        if not isinstance(dtype, str) or dtype not in DTYPE_BITS:
            self._corrupt(f"tensor {_quoted(name)} has the unknown dtype {_quoted(dtype)}")
        if not isinstance(shape, list) or len(shape) > MAX_RANK or not all(map(_is_count, shape)):
            self._corrupt(f"tensor {_quoted(name)} has an impossible shape")
        if not isinstance(offsets, list) or len(offsets) != 2 or not all(map(_is_count, offsets)):
            self._corrupt(f"tensor {_quoted(name)} has impossible data_offsets")
        info = TensorInfo(name, dtype, tuple(shape))
        start, end = offsets
        if math.prod(shape) * DTYPE_BITS[dtype] != 8 * (end - start):
            claim = f"is {dtype} {shape} but has {end - start:,} bytes of data"
            self._corrupt(f"tensor {_quoted(name)} {claim}, from {start:,} to {end:,}")
        return info, (start, end)

    def _check_cover(self, found: list[tuple[TensorInfo, tuple[int, int]]], data: int) -> None:
        cursor = 0
        for info, (start, end) in found:
            if start != cursor:
                what = "overlaps the tensor before it" if start < cursor else "leaves a hole before it"
                self._corrupt(f"tensor {_quoted(info.name)} {what}: it begins at {start:,}, not at {cursor:,}")
            cursor = end
            if data + end > self.size:
                what = f"is truncated: it has {self.size:,} of {data + found[-1][1][1]:,} bytes"
                _fail("NS602", self.path, f"{what}; tensor {_quoted(info.name)} ends at {data + end:,}", *_AGAIN)
        if data + cursor < self.size:
            self._corrupt(f"{self.size - data - cursor:,} bytes follow the last tensor and belong to none")

    def _corrupt(self, what: str) -> NoReturn:
        _fail("NS601", self.path, f"is corrupt: {what}", *_AGAIN)


_AGAIN = ("download or write the file again; compare its SHA-256 with the publisher's",)


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value < 1 << 63  # `type`, since True is an int
