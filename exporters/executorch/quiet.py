"""quiet(): keeps what ExecuTorch and its libraries note about this machine off the terminal."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr


@contextmanager
def quiet() -> Iterator[None]:
    """No warnings, no log, nothing that native code writes to the standard error. An error keeps what was written last
    as its note."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as said, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        os.dup2(said.fileno(), 2)
        try:
            with redirect_stderr(said):  # the bindings write to Python's, the libraries to the file below it
                yield
        except Exception as error:
            said.seek(0)
            error.add_note(said.read()[-2000:])
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            logging.disable(level)
