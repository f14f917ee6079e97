"""A folder that changes as a whole or not at all, whatever kills the process.

Everything about the folder `out` happens beside it, on the same file system, under names that say whose they are:

    .out.netspec-lock              held by the one process that is writing `out` (flock: the kernel frees it at death)
    .out.netspec-<pid>-<random>    the new folder while it grows; after the exchange, the old one until it is removed
    .out.netspec-<pid>-<random>.old    only where two names cannot be exchanged: the old one, on its way out

On Linux one system call exchanges the two names. Elsewhere the old folder is renamed aside and the new one in; a
process that dies between the two leaves no `out`, and `recover` renames the old one back.
"""

from __future__ import annotations

import ctypes
import errno
import os
import re
import secrets
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from netspec.errors import Diagnostic, WeightsError

_AT_FDCWD = -100  # from linux/fcntl.h
_RENAME_EXCHANGE = 2  # from linux/fs.h
_NO_EXCHANGE = {errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP}


@contextmanager
def locked(target: Path) -> Iterator[None]:
    """Be the only process that writes `target`. WeightsError NS616 at once when another one is; OSError otherwise."""
    try:
        import fcntl
    except ImportError:  # Windows: no lock; an open file cannot be renamed there, so the swap of the second one fails
        yield
        return
    path = target.with_name(f".{target.name}.netspec-lock")
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _same_file(file, path):
                break
        except BlockingIOError:
            holder = os.pread(file, 200, 0).decode("utf-8", "replace") or "another process"
            os.close(file)
            raise _held(target, holder) from None
        except OSError:
            os.close(file)
            raise
        os.close(file)  # its holder removed it between our open and our lock: what we locked has no name any more
    try:
        os.ftruncate(file, 0)
        os.pwrite(file, f"process {os.getpid()} on {socket.gethostname()}".encode(), 0)
        yield
    finally:
        path.unlink(missing_ok=True)  # before the lock is free, or we would remove the next holder's
        os.close(file)


def _same_file(file: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except FileNotFoundError:
        return False


def _held(target: Path, holder: str) -> WeightsError:
    help = ("wait until it is done, stop it, or choose another destination",)
    return WeightsError(Diagnostic("NS616", f"{target} is being written by {holder}", help=help))


def new_name(target: Path) -> Path:
    """A free name beside `target` that `recover` will recognise."""
    return target.with_name(f".{target.name}.netspec-{os.getpid()}-{secrets.token_hex(4)}")


def recover(target: Path, discard: Callable[[Path], None]) -> None:
    """Undo what dead processes left beside `target`; the caller holds the lock, so all of it is theirs."""
    left = re.compile(rf"\.{re.escape(target.name)}\.netspec-\d+-[0-9a-f]{{8}}(\.old)?")
    for path in sorted(target.parent.iterdir()):
        if not (match := left.fullmatch(path.name)):
            continue
        if match[1] and not os.path.lexists(target):
            path.rename(target)
        elif match[1]:
            # Lose the suffix first: a half-removed folder must never be taken for one to put back.
            path.rename(plain := path.with_suffix(""))
            discard(plain)
        else:
            discard(path)


def swap_in(new: Path, target: Path) -> Path | None:
    """Give the folder `new` the name `target`; return the new name of the folder that had it, if one did.

    At every moment `target` is the whole old folder or the whole new one (without exchange: for an instant neither).
    """
    if not os.path.lexists(target):
        new.rename(target)
    elif not any(target.iterdir()):
        target.rmdir()  # nothing is lost, and not every platform renames over an empty folder
        new.rename(target)
    elif _exchange(new, target):
        _sync(target.parent)
        return new
    else:
        aside = new.with_name(f"{new.name}.old")
        target.rename(aside)
        try:
            new.rename(target)
        except OSError:
            aside.rename(target)
            raise
        aside.rename(new)
        _sync(target.parent)
        return new
    _sync(target.parent)
    return None


def _exchange(first: Path, second: Path) -> bool:
    """Exchange two names in one step; False where the kernel, the C library or the file system cannot."""
    if sys.platform != "linux":
        return False
    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError):
        return False
    if renameat2(_AT_FDCWD, os.fsencode(first), _AT_FDCWD, os.fsencode(second), _RENAME_EXCHANGE) == 0:
        return True
    code = ctypes.get_errno()
    if code in _NO_EXCHANGE:
        return False
    raise OSError(code, os.strerror(code), os.fspath(second))


def sync_tree(folder: Path) -> None:
    """Bring every file below `folder` to the disk, so that after a power cut too a name means whole files."""
    for parent, _, files in os.walk(folder):
        for name in files:
            _sync(Path(parent, name))
        _sync(Path(parent))


def _sync(path: Path) -> None:
    try:
        file = os.open(path, os.O_RDONLY)
    except OSError:  # Windows opens no folders
        return
    try:
        os.fsync(file)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EROFS, errno.EBADF):  # some file systems cannot sync a folder
            raise
    finally:
        os.close(file)
