"""Do the steps of a page of docs/ in this process, as tests/documents.py asks on standard input, and print as JSON what
each printed and how it broke down. One process for a page: PyTorch is imported once."""

from __future__ import annotations

import io
import json
import runpy
import shlex
import sys
import traceback
import warnings
from contextlib import redirect_stderr, redirect_stdout, suppress
from pathlib import Path


def console(line: str) -> None:
    """`netspec …`, `python -m MODULE …`, `cat FILE`."""
    name, *arguments = shlex.split(line)
    if name == "cat":
        sys.stdout.write(Path(*arguments).read_text(encoding="utf-8"))
        return
    if name == "python":
        option, module, *arguments = arguments
        assert option == "-m", "scripts stand in blocks of their own"
        sys.argv = [module, *arguments]
        runpy.run_module(module, run_name="__main__", alter_sys=True)
        return
    assert name == "netspec", f"`{name}` is no command of these pages"
    sys.argv = [name, *arguments]
    from netspec.cli import main

    main()


def python(code: str) -> None:
    """A script, for which warnings are errors."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        exec(compile(code, "<page>", "exec"), {"__name__": "__main__"})


def step(kind: str, what: str) -> tuple[str, str]:
    """(what it printed, the traceback or "")."""
    printed, broken = io.StringIO(), ""
    with redirect_stdout(printed), redirect_stderr(printed), suppress(SystemExit):
        try:
            {"console": console, "python": python}[kind](what)
        except Exception:
            broken = traceback.format_exc()
    if "netspec: internal error" in printed.getvalue():
        broken = printed.getvalue()
    return printed.getvalue(), broken


if __name__ == "__main__":
    sys.stdout.write(json.dumps([step(kind, what) for kind, what in json.load(sys.stdin)]))
