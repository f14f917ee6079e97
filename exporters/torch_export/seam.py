"""seam(): what PyTorch and its companions raise, in netspec's words."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from netspec.errors import Diagnostic, ExportError, NetspecError


@contextmanager
def seam(doing: str) -> Iterator[None]:
    """No warnings of PyTorch's own parts to each other; an error as ExportError (NS594), which says what was being done
    and how it went wrong."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except (NetspecError, MemoryError):
            raise
        except Exception as error:  # they share no base class
            said = [line for line in str(error).splitlines() if line.strip()]
            raise ExportError(
                Diagnostic(
                    "NS594",
                    f"{doing} failed: {type(error).__name__}: {said[0] if said else ''}",
                    notes=tuple(said[1:6]),
                    help=("the target `onnx` takes every network; or give this target fixed sizes with `dims`",),
                )
            ) from error
