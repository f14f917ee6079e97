"""Large files: hash, write and copy them at the speed of the disk.

A copy is a reflink where the file system shares blocks (btrfs, xfs, bcachefs: no time, no space), else one pass that
reads, hashes and writes at once. Never a hard or symbolic link: ONNX runtimes refuse those for external data.
(`copy_file_range` would spare one copy in memory, but the hash then needs a second pass over the file.)
"""

from __future__ import annotations

import errno
import os
from concurrent.futures import Future, ThreadPoolExecutor
from hashlib import sha256
from io import FileIO
from pathlib import Path

from netspec.errors import Diagnostic, WeightsError
from netspec.weights.header import cannot_read

CHUNK = 4 << 20  # bytes; hides the cost of a call, still fits the cache of a core
_MAX_WRITE = 1 << 30  # bytes; Linux writes at most 2 GiB - 4 KiB at once
_FICLONE = 0x40049409  # ioctl from linux/fs.h
_HELP = {
    errno.ENOSPC: "free some space, or choose another disk",
    errno.EDQUOT: "your quota is used up: free some space, or choose another disk",
    errno.EROFS: "the file system is mounted read-only: choose another place",
    errno.EACCES: "you may not write there: choose another place",
    errno.EPERM: "you may not write there: choose another place",
    errno.ENAMETOOLONG: "choose a shorter name (netspec adds about 40 characters to it while it writes)",
    errno.EXDEV: "this folder cannot be renamed (a lower layer of a container image?): choose another place",
}


def cannot_write(path: str | os.PathLike[str], error: OSError) -> WeightsError:
    """NS617 in the user's words for an OSError met while writing `path`."""
    reason = error.strerror or str(error)
    if error.errno == errno.ENOSPC and "bytes" not in reason:
        reason = "the disk is full"
    help = _HELP.get(error.errno or 0, "check that the place exists and is writable")
    return WeightsError(Diagnostic("NS617", f"cannot write {os.fspath(path)}: {reason}", help=(help,)))


def sha256_file(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file, in hexadecimal. Raises WeightsError NS607 when it cannot be read."""
    try:
        with Path(path).open("rb", buffering=0) as file:
            return _pass(file, None)
    except OSError as error:
        raise cannot_read(path, error) from error


def copy_file(src: str | os.PathLike[str], dst: str | os.PathLike[str]) -> str:
    """Copy `src` to the new file `dst` and return the SHA-256 of the copy, in hexadecimal.

    Raises WeightsError: NS607 (`src` cannot be read, or changed meanwhile), NS617 (`dst` exists or cannot be written).
    A failed copy leaves no `dst`.
    """
    if not Path(src).is_file():
        missing = OSError(errno.ENOENT, "there is no such file") if not Path(src).exists() else None
        raise cannot_read(src, missing or OSError(errno.EINVAL, "it is not a regular file"))
    try:
        source = Path(src).open("rb", buffering=0)  # noqa: SIM115  `with` below
    except OSError as error:
        raise cannot_read(src, error) from error
    with source:
        before = os.fstat(source.fileno())
        try:
            target = Path(dst).open("x+b", buffering=0)  # noqa: SIM115
        except OSError as error:
            raise cannot_write(dst, error) from error
        try:
            with target:
                digest = _pass(target, None) if _reflink(source, target) else _pass(source, target)
            after = os.fstat(source.fileno())
            if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
                raise cannot_read(src, OSError(errno.EBUSY, "another program changed it during the copy"))
        except BaseException as error:
            Path(dst).unlink()
            if isinstance(error, OSError):
                raise cannot_write(dst, error) from error
            raise
    return digest


def write_all(file: FileIO, data: memoryview, offset: int) -> None:
    """Write every byte of `data` at `offset`; a single system call may write less."""
    file.seek(offset)
    done = 0
    while done < len(data):
        done += file.write(data[done : done + _MAX_WRITE])


def _reflink(source: FileIO, target: FileIO) -> bool:
    """Share the blocks of `source`; False where the file system or the platform cannot."""
    try:
        import fcntl

        fcntl.ioctl(target.fileno(), _FICLONE, source.fileno())
    except (ImportError, OSError):
        return False
    return True


def _pass(source: FileIO, target: FileIO | None) -> str:
    """Hash a file, and write it to `target`, in one pass: a thread hashes one buffer while the next one is read."""
    digest = sha256()
    chunk = min(CHUNK, os.fstat(source.fileno()).st_size) or CHUNK  # small files are many and need small buffers
    buffers = (memoryview(bytearray(chunk)), memoryview(bytearray(chunk)))
    offset = turn = 0
    with ThreadPoolExecutor(1) as hasher:
        hashing: Future[None] | None = None
        while count := source.readinto(buffers[turn]):
            filled = buffers[turn][:count]
            if hashing is not None:
                hashing.result()  # the other buffer is free again
            hashing = hasher.submit(digest.update, filled)
            if target is not None:
                write_all(target, filled, offset)
            offset, turn = offset + count, 1 - turn
    return digest.hexdigest()
