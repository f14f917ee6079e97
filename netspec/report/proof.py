"""What proves a bundle's targets: parity, gates and quantisation, from the manifest and the files beside it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from netspec.analysis.tables import amount
from netspec.bundle import FileEntry, Manifest, ParityRow, TargetEntry
from netspec.report.notes import Notes

# Forms that exporters write into a target's folder, told here wherever they lie.
GATE, QUANTIZATION, PRECISION = "gate.json", "quantization.json", "precision.txt"
NOISELESS = 200.0  # decibels, which QUANTIZATION writes where there is no noise at all


@dataclass(frozen=True, slots=True)
class Gate:
    """One verdict: whether a runtime that was not there would take the graph, and the most it needs."""

    target: str
    passed: bool
    findings: tuple[str, ...]
    memory: str  # at the profile's largest sizes


@dataclass(frozen=True, slots=True)
class Quantisation:
    """Signal over quantisation noise, in decibels: of outputs against a bound, of blocks; layers kept in float."""

    scheme: str
    bound: float
    outputs: Mapping[str, float]
    blocks: Mapping[str, float]
    quantised: int
    kept: tuple[tuple[str, str, str], ...]  # layer, role, why
    calibration: str

    @property
    def noiseless(self) -> bool:
        """Whether an output shows no noise at all."""
        return any(sqnr >= NOISELESS for sqnr in self.outputs.values())


@dataclass(frozen=True, slots=True)
class Series:
    """Comparisons of one output in one type: what was compared, point by point, and where it was furthest off."""

    title: str
    rows: tuple[ParityRow, ...]

    @property
    def worst(self) -> ParityRow:
        return max(self.rows, key=used)

    @property
    def passed(self) -> int:
        return sum(row.passed for row in self.rows)


@dataclass(frozen=True, slots=True)
class Target:
    """One target of a bundle with all that is known of it. `unproven` says what parity left out, and why."""

    name: str
    entry: TargetEntry
    files: Mapping[str, FileEntry]
    parity: tuple[Series, ...]
    unproven: tuple[str, ...]
    gates: tuple[Gate, ...]
    quantisation: Quantisation | None
    precision: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """The proof in a sentence: `state` is proven, partly or none."""

    state: str
    title: str
    words: str


def targets(manifest: Manifest, folder: Path, notes: Notes) -> list[Target]:
    """Every target of a bundle, in the spec's order."""
    return [_target(manifest, folder, notes, name, entry) for name, entry in manifest.targets.items()]


def verdict(found: Sequence[Target], manifest: Manifest) -> Verdict:
    """What parity says of all of them."""
    rows = [row for target in found for series in target.parity for row in series.rows]
    if not rows:
        return Verdict("none", "not run", f"{why_unproven(manifest)}.")
    lacking = [target.name for target in found if not target.parity]
    passed = sum(row.passed for row in rows)
    title = f"{passed} of {len(rows)}"
    worst = max(rows, key=used)
    words = f"comparisons with PyTorch hold; the worst uses {percent(used(worst))} of its tolerance"
    if lacking:
        return Verdict("partly", title, f"{words}. Not run here: {', '.join(lacking)}.")
    return Verdict("proven" if passed == len(rows) else "partly", title, f"{words}.")


def why_unproven(manifest: Manifest) -> str:
    """Why a bundle has no parity at all."""
    if manifest.recipe.get("weights") == "none":
        return "No weights were bound, so nothing was run"
    if manifest.recipe.get("parity") == "off":
        return "Parity was switched off for this build"
    return "Nothing here runs these targets"


def used(row: ParityRow) -> float:
    """The share of its tolerance that a difference takes."""
    return row.max_rel / row.tolerance if row.tolerance else math.inf


def percent(share: float) -> str:
    """In whole per cent; what is smaller says so."""
    if not math.isfinite(share):
        return "all"
    return f"{100 * share:.0f} %" if share >= 0.01 else "less than 1 %"


def _target(manifest: Manifest, folder: Path, notes: Notes, name: str, entry: TargetEntry) -> Target:
    own = entry.file.rpartition("/")[0]
    files = {path: each for path, each in manifest.files.items() if path.startswith(f"{own}/")} if own else {}
    if not own:
        shared = (entry.file, "model.safetensors")
        files = {path: manifest.files[path] for path in shared if path in manifest.files}
    rows = [row for row in manifest.parity if (row.target or "onnx") == name]
    quantised = _json(folder, f"{own}/{QUANTIZATION}", files, {"layers", "outputs", "blocks", "bound", "calibration"})
    gated = _json(folder, f"{own}/{GATE}", files, {"gates"})
    precision = f"{own}/{PRECISION}"
    return Target(
        name=name,
        entry=entry,
        files=files,
        parity=tuple(_series(rows, entry.precision)),
        unproven=_reasons(notes.unproven.get(name, ())),
        gates=tuple(_gate(each) for each in gated["gates"]) if gated else (),
        quantisation=_quantisation(quantised) if quantised else None,
        precision=(folder / precision).read_text(encoding="utf-8") if precision in files else "",
    )


def _json(folder: Path, path: str, files: Mapping[str, FileEntry], keys: Set[str]) -> dict[str, Any]:
    """A file of the target; nothing where it has none, or where one of that name is of another form: an exporter of
    another package may write what it likes."""
    found = json.loads((folder / path).read_text(encoding="utf-8")) if path in files else {}
    return found if isinstance(found, dict) and keys <= found.keys() else {}


def _series(rows: Sequence[ParityRow], precision: str) -> Iterator[Series]:
    """One for each type and output, the target's own type first, then its twin's where nothing here computes in it."""
    for dtype, output in dict.fromkeys((row.dtype, row.output) for row in rows):
        own = tuple(row for row in rows if (row.dtype, row.output) == (dtype, output))
        kind = dtype if dtype == precision else f"{dtype} twin"
        yield Series(f"{kind}, {output}" if output else kind, own)


def _reasons(unproven: Sequence[str]) -> tuple[str, ...]:
    """`all: there are no weights` and points that a budget left out, as sentences."""
    return tuple(
        f"Parity not run: {each.removeprefix('all: ')}." if each.startswith("all: ") else f"Parity not run at {each}."
        for each in unproven
    )


def _gate(data: Mapping[str, Any]) -> Gate:
    findings = dict.fromkeys(f"{each['code']}: {each['reason']}" for each in data["findings"])
    at = data["facts"].get("at_max", {}).get("memory")
    memory = ""
    if at:
        memory = f"{amount(at['activations'])} of activations and {amount(at['weights'])} of weights"
    return Gate(str(data["target"]), bool(data["passed"]), tuple(findings), memory)


def _quantisation(data: Mapping[str, Any]) -> Quantisation:
    layers = data["layers"]
    kept = tuple((path, layer["role"], layer["why"]) for path, layer in layers.items() if layer["why"])
    calibration = data["calibration"]
    return Quantisation(
        scheme=f"{data['precision']}, {data['scheme']}",
        bound=data["bound"],
        outputs=data["outputs"],
        blocks=data["blocks"],
        quantised=len(layers) - len(kept),
        kept=kept,
        calibration=f"{calibration['samples']} inputs, measured on {calibration['held_out']} others",
    )
