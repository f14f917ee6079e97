"""page(): the report of a finished bundle, written again from its files: with figures of a benchmark, if there are any.

A bundle is the same wherever it is built, and times are not. So a report with figures is a file of its own outside of
the bundle, whose hashes stay what they are.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path, PurePosixPath

from netspec import api
from netspec.bundle import Manifest
from netspec.errors import Diagnostic, WeightsError
from netspec.plan import Plan
from netspec.report.measured import Measured
from netspec.report.notes import Notes
from netspec.report.page import Built, html
from netspec.report.proof import GATE, PRECISION, QUANTIZATION

FILE = "report.html"
_READ = ("spec.yaml", FILE, GATE, PRECISION, QUANTIZATION)


def page(folder: str | os.PathLike[str], measured: Measured | None = None) -> str:
    """Without `measured`, the very text that lies in the bundle, where this netspec wrote it.

    Raises WeightsError where the folder is no bundle, or a file that is read has changed.
    """
    manifest = Manifest.read(folder)
    plan, notes = source(folder, manifest)
    files = {path: entry for path, entry in manifest.files.items() if path != FILE}
    return html(plan, notes, Built(replace(manifest, files=files), Path(folder)), measured)


def source(folder: str | os.PathLike[str], manifest: Manifest) -> tuple[Plan, Notes]:
    """The plan of a bundle at the lines that its author wrote, and the notes of its report; those of its resolved spec
    where it was built before there were reports. Raises WeightsError."""
    if changed := manifest.check_files(folder, lambda path: PurePosixPath(path).name in _READ):
        raise WeightsError(*changed)
    spec = api.load(Path(folder, "spec.yaml"))
    if spec.sha256 != manifest.spec_sha256:
        raise WeightsError(Diagnostic("NS618", "spec.yaml is not the spec that the manifest names"))
    plan = api.lower(spec)
    if FILE not in manifest.files:
        return plan, Notes.of(plan)
    try:
        notes = Notes.read(Path(folder, FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError, TypeError) as error:
        help = ("build it again: netspec build SPEC -o DIR --force",)
        raise WeightsError(Diagnostic("NS614", f"{FILE} is none that netspec wrote: {error}", help=help)) from error
    return notes.placed(plan), notes
