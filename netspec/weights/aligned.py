"""The one weights file, for PyTorch and for ONNX: safetensors, aligned.

    byte 0      header length, JSON, spaces up to a multiple of 4096
    byte 4096k  tensors in the order of the modules, each at a multiple of 256; every gap is a tensor `__pad_N` of zeros

ONNX external data names a byte range of this file, so one file serves both. GPU kernels need the alignment: an
unaligned weight makes cuBLAS fail. safetensors demands data without holes, so the gaps are tensors (U8, 1-D) that we
hide.
Offsets follow from names, dtypes, shapes and metadata alone: a graph can be written before its weights exist.
Bytes are little endian, like the machines that torch runs on.
"""

from __future__ import annotations

import errno
import json
import mmap
import os
import re
import secrets
import shutil
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from io import BufferedReader
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from netspec.errors import Diagnostic, InvariantError, WeightsError
from netspec.weights.files import cannot_write, sha256_file, write_all
from netspec.weights.header import DTYPE_BITS, TensorInfo, cannot_read, read_header

if TYPE_CHECKING:
    import torch

__all__ = [
    "AlignedLayout",
    "AlignedWriter",
    "TensorInfo",
    "dtype_name",
    "load_tensor",
    "load_tensors",
    "read_layout",
    "torch_dtype",
]

HEADER_ALIGNMENT = 4096  # a page: data can be mapped where it lies
TENSOR_ALIGNMENT = 256  # what cudaMalloc gives, and so what CUDA kernels may expect

_PAD = re.compile(r"__pad_\d+")
_MAPPED = 1 << 20  # bytes from which a tensor is mapped, not read: a process may hold only 65,530 mappings

_TORCH_NAMES = {
    "F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "I64": "int64", "I32": "int32",
    "I16": "int16", "I8": "int8", "U64": "uint64", "U32": "uint32", "U16": "uint16", "U8": "uint8", "BOOL": "bool",
    "C64": "complex64", "F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2", "F8_E4M3FNUZ": "float8_e4m3fnuz",
    "F8_E5M2FNUZ": "float8_e5m2fnuz", "F8_E8M0": "float8_e8m0fnu",
}  # fmt: skip


@dataclass(frozen=True)
class AlignedLayout:
    """Where each tensor lies in one file. `tensors` and `places` run in the order of the data and hide padding."""

    header: bytes = field(repr=False)  # length, JSON and spaces: everything before the data
    metadata: dict[str, str] = field(repr=False)
    tensors: tuple[TensorInfo, ...]
    size: int  # bytes of the whole file
    places: dict[str, tuple[int, int]] = field(repr=False)  # name -> (offset from the file's first byte, length)

    @classmethod
    def plan(
        cls, tensors: Iterable[TensorInfo], metadata: Mapping[str, str], *, alignment: int = TENSOR_ALIGNMENT
    ) -> AlignedLayout:
        """Lay out `tensors` in the order given. Names must be unique and may not be reserved: InvariantError.

        With an `alignment` of 1 there are no gaps and so no padding, which other programs would take for weights.
        """
        tensors = tuple(tensors)
        _check_plan(tensors, metadata)
        entries: dict[str, object] = {"__metadata__": dict(sorted(metadata.items()))} if metadata else {}
        starts: dict[str, int] = {}
        cursor = pads = 0
        for info in tensors:
            if gap := -cursor % alignment:
                entries[f"__pad_{pads}"] = {"dtype": "U8", "shape": [gap], "data_offsets": [cursor, cursor + gap]}
                cursor, pads = cursor + gap, pads + 1
            end = cursor + info.bytes
            entries[info.name] = {"dtype": info.dtype, "shape": list(info.shape), "data_offsets": [cursor, end]}
            starts[info.name], cursor = cursor, end
        # Offsets count from the end of the header, which is a multiple of 4096: they do not depend on its length.
        text = json.dumps(entries, ensure_ascii=False, separators=(",", ":")).encode()
        text += b" " * (-(8 + len(text)) % HEADER_ALIGNMENT)
        header = len(text).to_bytes(8, "little") + text
        places = {info.name: (len(header) + starts[info.name], info.bytes) for info in tensors}
        return cls(header, dict(metadata), tensors, len(header) + cursor, places)

    def offset(self, name: str) -> int:
        """The tensor's first byte, counted from the first byte of the file."""
        return self.places[name][0]

    def length(self, name: str) -> int:
        """The tensor's size in bytes."""
        return self.places[name][1]

    @cached_property
    def infos(self) -> dict[str, TensorInfo]:
        return {info.name: info for info in self.tensors}

    @property
    def is_aligned(self) -> bool:
        """Whether the file is in our form, so that an ONNX graph may point into it."""
        header_fits = len(self.header) % HEADER_ALIGNMENT == 0
        return header_fits and all(start % TENSOR_ALIGNMENT == 0 for start, _ in self.places.values())


def _check_plan(tensors: tuple[TensorInfo, ...], metadata: Mapping[str, str]) -> None:
    seen: set[str] = set()
    for info in tensors:
        wrong = ""
        if info.name in seen:
            wrong = "is given twice"
        elif _PAD.fullmatch(info.name) or info.name == "__metadata__":
            wrong = "has a name that the file format reserves"
        elif DTYPE_BITS.get(info.dtype, 1) % 8:
            wrong = f"has dtype {info.dtype}, which has no whole bytes"
        elif any(size < 0 for size in info.shape):
            wrong = f"has the shape {info.shape}"
        if wrong:
            raise _bug(f"tensor {info.name!r} {wrong}")
        seen.add(info.name)
    if not all(isinstance(text, str) for pair in metadata.items() for text in pair):
        raise _bug("the metadata of a weights file maps strings to strings")


def _bug(what: str) -> InvariantError:
    return InvariantError(Diagnostic("NS690", what))


def read_layout(path: str | os.PathLike[str]) -> AlignedLayout:
    """The layout of any safetensors file, ours or not (`is_aligned` says which). Reads the header only.

    Raises WeightsError NS601 (corrupt), NS602 (truncated) or NS607 (unreadable).
    """
    found = read_header(path)
    real = {info: place for info, place in zip(found.tensors, found.places, strict=True) if not _is_padding(info)}
    places = {info.name: (start, end - start) for info, (start, end) in real.items()}
    header = len(found.text).to_bytes(8, "little") + found.text
    return AlignedLayout(header, found.metadata, tuple(real), found.size, places)


def _is_padding(info: TensorInfo) -> bool:
    return info.dtype == "U8" and len(info.shape) == 1 and _PAD.fullmatch(info.name) is not None


class AlignedWriter:
    """Write one aligned file, tensor by tensor, in any order; the bytes do not depend on the order.

        with AlignedWriter(path, layout) as writer:
            for name, tensor in ...:
                writer.write(name, tensor)
        writer.sha256                       # free when the order was the layout's, else one read of the file

    The file appears under its name when the context ends well and every tensor has come (else InvariantError, and no
    file). Until then it has another name and no header, so nothing takes it for whole. Peak memory beyond the caller's
    is one copy of a tensor that is not contiguous or not on the CPU.
    Raises WeightsError NS617 when the disk is full or the place not writable.
    """

    def __init__(self, path: str | os.PathLike[str], layout: AlignedLayout) -> None:
        self._path = Path(path)
        self._layout = layout
        self._missing = {info.name for info in layout.tensors}
        self._order = iter(layout.tensors)
        self._expected = next(self._order, None)  # the tensor that the running hash waits for
        self._hash = sha256(layout.header)
        self._hashed = len(layout.header)

    def __enter__(self) -> AlignedWriter:
        self._unfinished = self._path.with_name(f".{self._path.name}.{os.getpid()}-{secrets.token_hex(4)}")
        try:
            free = shutil.disk_usage(self._path.parent).free
            if free < self._layout.size:  # better now than after minutes
                raise OSError(errno.ENOSPC, f"{self._layout.size:,} bytes are needed, {free:,} are free")
            self._file = self._unfinished.open("xb", buffering=0)  # closed by __exit__
            self._file.truncate(self._layout.size)
        except OSError as error:
            self._unfinished.unlink(missing_ok=True)
            raise cannot_write(self._path, error) from error
        self._hasher = ThreadPoolExecutor(1)
        return self

    def write(self, name: str, data: torch.Tensor | bytes | bytearray | memoryview) -> None:
        """Put one tensor in its place. A tensor must have the planned dtype and shape, bytes the planned length."""
        if name not in self._missing:
            known = name in self._layout.places
            raise _bug(f"tensor {name!r} {'is written twice' if known else 'is not planned'}")
        view, _owner = _bytes_of(self._layout.infos[name], data)
        offset = self._layout.offset(name)
        hashing = None
        if self._expected is not None and name == self._expected.name:
            gap, self._hashed = offset - self._hashed, offset + len(view)
            # Both calls release the interpreter lock: hashing costs time only where it is slower than the disk.
            hashing = self._hasher.submit(self._update_hash, gap, view)
            self._expected = next(self._order, None)
        try:
            write_all(self._file, view, offset)
        except OSError as error:
            raise cannot_write(self._path, error) from error
        finally:
            if hashing is not None:
                hashing.result()
        self._missing.discard(name)

    def _update_hash(self, gap: int, data: memoryview) -> None:
        self._hash.update(bytes(gap))
        self._hash.update(data)

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the finished file, in hexadecimal."""
        return self._hash.hexdigest() if self._expected is None else sha256_file(self._path)

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._hasher.shutdown()
        try:
            if kind is None:
                self._finish()
        except OSError as error:
            raise cannot_write(self._path, error) from error
        finally:
            self._file.close()
            self._unfinished.unlink(missing_ok=True)  # gone already when it took its name

    def _finish(self) -> None:
        if self._missing:
            first = next(info.name for info in self._layout.tensors if info.name in self._missing)
            what = f"{len(self._missing)} of {len(self._layout.tensors)} tensors were never written, first {first!r}"
            raise _bug(f"{self._path.name}: {what}")
        write_all(self._file, memoryview(self._layout.header), 0)
        self._file.close()
        self._unfinished.replace(self._path)


def _bytes_of(info: TensorInfo, data: torch.Tensor | bytes | bytearray | memoryview) -> tuple[memoryview, object]:
    """The bytes to write, and what must stay alive while they are used."""
    if isinstance(data, (bytes, bytearray, memoryview)):
        view = memoryview(data).cast("B")
        if len(view) != info.bytes:
            raise _bug(f"tensor {info.name!r}: {len(view)} bytes, planned are {info.bytes}")
        return view, data
    import ctypes

    found = TensorInfo(info.name, dtype_name(data.dtype), tuple(data.shape))
    if found != info or data.device.type == "meta":
        got = f"{data.device.type} tensor {found.dtype} {list(found.shape)}"
        raise _bug(f"tensor {info.name!r}: {got}, planned {info.dtype} {list(info.shape)}")
    plain = data.detach().cpu().resolve_conj().resolve_neg().contiguous()
    if not info.bytes:
        return memoryview(b""), plain
    # Through ctypes, since .numpy() would need numpy and knows no bfloat16.
    return memoryview((ctypes.c_char * info.bytes).from_address(plain.data_ptr())).cast("B"), plain


def dtype_name(dtype: torch.dtype) -> str:
    """safetensors' name of a torch dtype: `torch.bfloat16` -> `"BF16"`. WeightsError NS606 where it has none."""
    word = str(dtype).removeprefix("torch.")
    for name, torch_name in _TORCH_NAMES.items():
        if word == torch_name:
            return name
    raise WeightsError(
        Diagnostic("NS606", f"safetensors cannot hold {word} tensors", help=("convert to float32 first",))
    )


def load_tensors(
    path: str | os.PathLike[str], names: Iterable[str] | None = None, dtype: torch.dtype | None = None
) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield `(name, tensor)` in the order of the file (sequential reads), each read when its turn comes.

    `names` selects; `dtype` converts the floating-point tensors and leaves the others. A tensor shares its memory with
    the file, copy on write: it may be changed, the file is not, but the file must not be truncated while it lives.
    Memory is that of the tensors which the caller keeps. Raises WeightsError at the call, not at the first tensor:
    NS601, NS602, NS607, NS603 (a name that is not in the file), NS606 (a dtype that torch lacks).
    """
    layout = read_layout(path)
    wanted = set(layout.places) if names is None else set(names)
    if missing := sorted(wanted - set(layout.places)):
        shown = ", ".join(missing[:5]) + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")
        raise WeightsError(
            Diagnostic("NS603", f"{os.fspath(path)} lacks {len(missing)} of the tensors asked for: {shown}")
        )
    chosen = [(info, torch_dtype(info)) for info in layout.tensors if info.name in wanted]
    try:
        file = Path(path).open("rb")  # noqa: SIM115  the generator closes it
    except OSError as error:
        raise cannot_read(path, error) from error

    def tensors() -> Iterator[tuple[str, torch.Tensor]]:
        with file:
            for info, kind in chosen:
                try:
                    tensor = _read_tensor(file, info, kind, layout.offset(info.name))
                except OSError as error:
                    raise cannot_read(path, error) from error
                convert = dtype is not None and tensor.is_floating_point()
                yield info.name, tensor.to(dtype) if convert else tensor

    return tensors()


def load_tensor(path: str | os.PathLike[str], info: TensorInfo, offset: int) -> torch.Tensor:
    """One tensor of a file whose header is known, as `load_tensors` gives it. Raises WeightsError NS606, NS607."""
    kind = torch_dtype(info)
    try:
        with Path(path).open("rb") as file:  # a mapping outlives its file
            return _read_tensor(file, info, kind, offset)
    except (OSError, ValueError) as error:  # ValueError: the file has become shorter than the place to map
        raise cannot_read(path, error if isinstance(error, OSError) else OSError(str(error))) from error


def torch_dtype(info: TensorInfo) -> torch.dtype:
    """torch's name of a tensor's dtype. WeightsError NS606 where this torch has none."""
    import torch

    found: torch.dtype | None = getattr(torch, _TORCH_NAMES.get(info.dtype, ""), None)
    if found is None:
        raise WeightsError(Diagnostic("NS606", f"tensor {info.name!r} has dtype {info.dtype}, which this torch lacks"))
    return found


def _read_tensor(file: BufferedReader, info: TensorInfo, dtype: torch.dtype, offset: int) -> torch.Tensor:
    import torch

    if not info.bytes:
        return torch.empty(info.shape, dtype=dtype)
    if info.bytes < _MAPPED:
        data = bytearray(info.bytes)
        file.seek(offset)
        if file.readinto(data) < info.bytes:
            raise OSError(errno.EIO, "the file became shorter while it was read")
        flat = torch.frombuffer(data, dtype=torch.uint8)
    else:
        skip = offset % mmap.ALLOCATIONGRANULARITY
        mapped = mmap.mmap(file.fileno(), skip + info.bytes, access=mmap.ACCESS_COPY, offset=offset - skip)
        flat = torch.frombuffer(mapped, dtype=torch.uint8, offset=skip)
        if skip % dtype.itemsize:  # foreign files align nothing, and vector instructions fault on that
            flat = flat.clone()
    return flat.view(dtype).reshape(info.shape)
