"""NS533, NS534: weights beside the graph, as the parser maps them.

The parser checks neither bounds nor links nor checksums, and takes no key that it does not know.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath

from onnx import TensorProto

from exporters.tensorrt.gate.graph import is_external, tensor_bytes, tensors
from exporters.tensorrt.gate.report import Finding
from exporters.tensorrt.gate.rules.case import Case

KEYS = ("location", "offset", "length", "checksum")
ALIGNED = 256  # bytes: CUDA kernels of ONNX Runtime read weights where they were mapped


def check(case: Case) -> Iterator[Finding]:
    external = [tensor for tensor in tensors(case.graph.model) if is_external(tensor)]
    unaligned = 0
    locations: dict[str, int] = {}
    for tensor in external:
        entries = {entry.key: entry.value for entry in tensor.external_data}
        wrong = list(_wrong(tensor, entries))
        yield from (Finding("NS533", tensor.name, reason, remedy) for reason, remedy in wrong)
        if wrong:
            continue
        end = int(entries.get("offset", 0)) + int(entries["length"])
        locations[entries["location"]] = max(end, locations.get(entries["location"], 0))
        unaligned += int(entries.get("offset", 0)) % ALIGNED != 0
    for location, end in sorted(locations.items()):
        yield from _file(case.folder, location, end)
    if unaligned:
        reason = f"{unaligned} of {len(external)} weights do not begin at a multiple of {ALIGNED} bytes"
        remedy = "TensorRT copes; ONNX Runtime's CUDA provider may fail: write the weights aligned"
        yield Finding("NS534", "", reason, remedy, "warning")


def _wrong(tensor: TensorProto, entries: dict[str, str]) -> Iterator[tuple[str, str]]:
    if unknown := sorted(entries.keys() - set(KEYS)):
        yield f"key `{unknown[0]}` of its external data is unknown to the parser", f"keep {', '.join(KEYS[:3])}"
    location = entries.get("location", "")
    if not location or _leaves(location):
        yield f"its bytes lie in `{Path(location).name}`, outside the graph's folder", "put the file beside the graph"
    for key in ("offset", "length"):
        if key in entries and not entries[key].isdecimal():
            yield f"its {key} is no whole number", "write the external data again"
            return
    if "length" not in entries:
        yield "its length is missing: the parser would take the whole file", "write offset and length"
    elif int(entries["length"]) != tensor_bytes(tensor):
        told, needed = int(entries["length"]), tensor_bytes(tensor)
        yield f"its length is {told:,} bytes; its type and size make {needed:,}", "write the external data again"


def _leaves(location: str) -> bool:
    """Absolute, or above the graph's folder, as any system reads it."""
    posix, windows = PurePosixPath(location), PureWindowsPath(location)
    return posix.is_absolute() or bool(windows.drive) or windows.is_absolute() or ".." in windows.parts


def _file(folder: Path, location: str, end: int) -> Iterator[Finding]:
    path = folder / location
    if path.is_symlink():
        reason = "it is a link, which ONNX's checker and ONNX Runtime refuse"
        yield Finding("NS533", location, reason, "copy the file")
    if not path.exists():
        remedy = "put it there before the engine is built"
        yield Finding(
            "NS533", location, "the file of weights is not there, so its size is unchecked", remedy, "warning"
        )
    elif path.is_file() and path.stat().st_size < end:
        reason = f"the file of weights ends at byte {path.stat().st_size:,}; the graph reads up to {end:,}"
        yield Finding("NS533", location, reason, "copy the file again: the parser checks no bounds and would crash")
