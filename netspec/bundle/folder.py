"""A bundle is a folder that netspec wrote: spec, weights, graphs, plan, and a manifest with the hash of each.

    with open_bundle("out/sd15") as folder:         # a temporary folder beside the destination
        ...                                         # write the files
        Manifest(..., files=file_entries(folder, known)).write(folder)
                                                    # here, and only here, the destination changes

kill -9 at any moment leaves the whole old bundle or the whole new one (or, where the platform cannot exchange two
names, none; the next run puts the old one back). Nothing that netspec did not write is ever deleted.
"""

from __future__ import annotations

import errno
import itertools
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from netspec.bundle.atomic import locked, new_name, recover, swap_in, sync_tree
from netspec.bundle.manifest import MANIFEST, Manifest, list_files
from netspec.errors import Diagnostic, InvariantError, NetspecError, UsageError, WeightsError
from netspec.weights.files import cannot_write

_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO}


@contextmanager
def open_bundle(destination: str | os.PathLike[str], *, force: bool = False) -> Iterator[Path]:
    """Write a bundle as a whole or not at all; yields the folder to write into, on the destination's file system.

    Leaving the context normally requires a manifest that names exactly the files in the folder (else InvariantError),
    then swaps the folder in. An exception removes it and leaves the destination as it was. A destination that is a link
    keeps the link: the folder it points to is replaced. `force` replaces a bundle that also holds files of the user's;
    those are kept in `<destination>.kept-N`.

    Raises UsageError NS615 (the destination would cost the user something), WeightsError NS616 (another process is
    writing it) and NS617 (the disk refuses).
    """
    target = _target(Path(destination))
    folder = new_name(target)
    callers = False  # whether the caller's code is running, whose errors need not be about the bundle
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with locked(target):
            recover(target, lambda folder: _discard(folder, target))
            _check(target, destination, force)
            folder.mkdir()
            try:
                callers = True
                yield folder
                callers = False
                _check_content(folder)
                sync_tree(folder)
                old = swap_in(folder, target)
            except BaseException:
                shutil.rmtree(folder, ignore_errors=True)
                raise
            if old is not None:
                _discard(old, target)
    except OSError as error:
        inside = isinstance(error.filename, str) and Path(error.filename).is_relative_to(folder)
        if callers and not inside and error.errno not in _DISK:
            raise
        raise cannot_write(destination, error) from error


def _target(destination: Path) -> Path:
    """The folder to replace: absolute, links followed. UsageError where replacing it can only be a mistake."""
    try:
        target = destination.resolve()
        here = Path.cwd()
    except (OSError, RuntimeError, ValueError) as error:  # a loop of links, a removed cwd, a NUL byte
        raise _refused(destination, f"cannot be resolved: {error}", "name a folder") from error
    if target == here or target in here.parents:
        what = "the current folder" if target == here else "a folder that contains the current one"
        raise _refused(destination, f"is {what}", f"name a folder inside it: -o {destination / 'out'}")
    if target.is_mount():
        raise _refused(destination, "is a mount point, which cannot be replaced", f"use {destination / 'out'}")
    return target


def _check(target: Path, destination: str | os.PathLike[str], force: bool) -> None:
    """Refuse a destination that holds anything but a bundle of ours."""
    if not os.path.lexists(target):
        return
    if not target.is_dir():
        raise _refused(destination, "is a file", "name a folder")
    if not any(target.iterdir()):
        return
    try:
        extra = _foreign(target)
    except NetspecError as error:
        reason = error.diagnostics[0].message.partition(": ")[2]
        raise _refused(
            destination,
            f"holds files that are not a netspec bundle ({reason})",
            "name a new or empty folder, or move them away",
        ) from error
    if extra and not force:
        shown = ", ".join(extra[:5]) + (f" and {len(extra) - 5} more" if len(extra) > 5 else "")
        raise _refused(
            destination, f"also holds files that netspec did not write: {shown}", "move them away",
            f"or pass --force, which moves them to {target.name}.kept-1",
        )  # fmt: skip


def _refused(destination: str | os.PathLike[str], what: str, *help: str) -> UsageError:
    return UsageError(Diagnostic("NS615", f"cannot build into {os.fspath(destination)}: it {what}", help=help))


def _foreign(folder: Path) -> list[str]:
    """What lies in a bundle beside what its manifest names."""
    ours = Manifest.read(folder).files
    return [path for path in list_files(folder) if path not in ours]


def _check_content(folder: Path) -> None:
    """What is about to become a bundle must be one, or the next build would refuse to replace it."""
    try:
        manifest = Manifest.read(folder)
    except WeightsError as error:
        raise InvariantError(Diagnostic("NS690", f"a bundle was finished without a sound {MANIFEST}")) from error
    sizes = {path: os.lstat(folder / path).st_size for path in list_files(folder)}
    planned = {path: entry.bytes for path, entry in manifest.files.items()}
    if wrong := sorted(path for path in {*sizes, *planned} if sizes.get(path) != planned.get(path)):
        what = f"the manifest does not fit the files of the bundle: {', '.join(wrong[:5])}"
        raise InvariantError(Diagnostic("NS690", what))


def _discard(folder: Path, target: Path) -> None:
    """Remove a folder of ours; what the user put into it moves to `<target>.kept-N`.

    Failing to remove is no reason to fail: the next run finds it again.
    """
    try:
        extra = _foreign(folder)
    except NetspecError as error:
        if error.diagnostics[0].code != "NS614":
            return  # unreadable now: keep it, since what it holds is unknown
        extra = []  # no sound manifest: a folder that never became a bundle
    if not extra:
        shutil.rmtree(folder, ignore_errors=True)
        return
    kept = next(path for n in itertools.count(1) if not (path := target.with_name(f"{target.name}.kept-{n}")).exists())
    ours = [*Manifest.read(folder).files, MANIFEST]
    folder.rename(kept)  # first: whatever happens next, it no longer looks like a leftover
    for name in ours:
        Path(kept, name).unlink(missing_ok=True)
