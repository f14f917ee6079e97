"""Revision: files as a git revision has them, read through the git executable."""

from __future__ import annotations

import posixpath
import subprocess
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path

from netspec import document
from netspec.document import Document
from netspec.errors import Diagnostic, DocumentError, Source, Span, UsageError

PREFIX = "git:"
_SECONDS = 60  # for a repository on a slow disk


@dataclass(frozen=True)
class Revision:
    """A revision of the repository that `folder` lies in: a shelf on which specs can extend each other.

    Files are named `git:REV:PATH`, the path from the repository's root; one that begins with `./` or `../` is meant
    from `folder`, as git has it. Raises UsageError (NS941) without git, outside a repository, for an unknown revision.
    """

    rev: str
    folder: Path = Path()

    @cached_property
    def commit(self) -> str:
        """The commit's hash."""
        done = self._git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{self.rev}^{{commit}}")
        if done is None:
            close = get_close_matches(self.rev, self._branches(), n=3)
            meant = tuple(f"did you mean `{name}`?" for name in close)
            raise _refused(f"git does not know the revision `{self.rev}`", *meant)
        return done.decode().strip()

    def path(self, path: str) -> str:
        """A path from the repository's root."""
        if path.startswith(("./", "../")):
            path = posixpath.join(self.prefix, path)
        return posixpath.normpath(path)

    @cached_property
    def prefix(self) -> str:
        """`folder`, from the repository's root."""
        done = self._git("rev-parse", "--show-prefix")
        if done is None:
            raise _refused(f"{self.folder.resolve()} is in no git repository")
        return done.decode().rstrip("\n")

    def named(self, path: str) -> str:
        """The file's name in messages."""
        return f"{PREFIX}{self.rev}:{self.path(path)}"

    def beside(self, name: str, reference: str) -> str:
        """The name of what a file of this revision extends."""
        home = posixpath.dirname(name.removeprefix(f"{PREFIX}{self.rev}:"))
        return self.named(posixpath.normpath(posixpath.join(home, reference)))

    def holds(self, path: str) -> bool:
        """Whether the revision has such a file."""
        return self._git("cat-file", "-e", f"{self.commit}:{self.path(path)}") is not None

    def load(self, name: str) -> Document:
        """Read the file `git:REV:PATH`. Raises DocumentError: NS010 where the revision has no such file."""
        return document.loads(self.text(name), name)

    def text(self, name: str) -> str:
        """The text of a file."""
        path = name.removeprefix(f"{PREFIX}{self.rev}:")
        place = f"{self.commit}:{path}"
        size = self._git("cat-file", "-s", place)
        if size is None or self._git("cat-file", "-t", place) != b"blob\n":
            raise _unreadable(name, "the revision has no such file", *self._meant(path))
        if int(size) > document.MAX_BYTES:
            raise _unreadable(name, "it is larger than 1 MiB")
        return document.decode(self._git("cat-file", "blob", place) or b"", name)

    def _meant(self, path: str) -> list[str]:
        listed = self._git("ls-tree", "-r", "-z", "--name-only", "--full-tree", self.commit) or b""
        files = [name for name in listed.decode("utf-8", "replace").split("\0") if name.endswith((".yaml", ".yml"))]
        here = posixpath.normpath(posixpath.join(self.prefix, path))
        same = [name for name in files if name == here or posixpath.basename(name) == posixpath.basename(path)]
        close = same[:3] or get_close_matches(path, files, n=3)
        return ["did you mean " + " or ".join(f"`{PREFIX}{self.rev}:{name}`" for name in close) + "?"] if close else []

    def _branches(self) -> list[str]:
        listed = self._git("for-each-ref", "--format=%(refname:short)") or b""
        return listed.decode("utf-8", "replace").split()

    def _git(self, *arguments: str) -> bytes | None:
        """What git prints; None where it refuses."""
        command = ["git", "-C", str(self.folder), *arguments]
        try:
            done = subprocess.run(command, capture_output=True, timeout=_SECONDS, stdin=subprocess.DEVNULL)
        except FileNotFoundError as error:
            help = "install git, or compare with a copy of the file"
            raise _refused("there is no git on this machine", help) from error
        except ValueError as error:  # a NUL in an argument
            raise _refused(f"`{self.rev}` is no revision") from error
        except (OSError, subprocess.TimeoutExpired) as error:
            raise _refused(f"git cannot be asked: {error}") from error
        return done.stdout if done.returncode == 0 else None


def _refused(message: str, *help: str) -> UsageError:
    return UsageError(Diagnostic("NS941", message, help=help))


def _unreadable(name: str, reason: str, *help: str) -> DocumentError:
    span = Span(Source(name, ""), 1, 1, 1, 1)
    return DocumentError(Diagnostic("NS010", f"cannot read `{name}`: {reason}", span, help=help))
