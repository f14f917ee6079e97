"""Run a command as a process of its own; its wall time and peak memory."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass


@dataclass(frozen=True)
class Run:
    seconds: float
    megabytes: float
    output: str


def run(*command: str) -> Run:
    """Wall time and peak resident memory of one process. Raises CalledProcessError where it fails."""
    started = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        output, errors = process.communicate()
        seconds = time.perf_counter() - started
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command, output, errors)
    return Run(seconds, 0.0, output)


def measured(code: str) -> Run:
    """Wall time and peak resident memory of a Python program, which reports its own peak."""
    ending = "\nimport resource as _r; print(_r.getrusage(_r.RUSAGE_SELF).ru_maxrss)"
    result = run(sys.executable, "-c", code + ending)
    *output, peak = result.output.strip().splitlines()
    return Run(result.seconds, int(peak) / 1000, "\n".join(output))


def netspec(*arguments: str) -> Run:
    """Wall time and peak resident memory of one `netspec` command."""
    words = ", ".join(repr(argument) for argument in ("netspec", *arguments))
    code = (
        f"import sys; sys.argv = [{words}]\nfrom netspec.cli import main\n"
        "try:\n    main()\nexcept SystemExit as stop:\n    assert not stop.code, stop.code"
    )
    return measured(code)


def quiet() -> None:
    """Less noise from libraries in child processes."""
    os.environ.setdefault("PYTHONWARNINGS", "ignore")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
