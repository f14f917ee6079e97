"""ports.json: what a file of PyTorch's formats does not tell: names, types and sizes of its inputs and outputs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netspec.embedded import SPEC_KEY

if TYPE_CHECKING:
    from netspec.target import ExportRequest, Port

FILE = "ports.json"


def write(request: ExportRequest, folder: Path) -> Path:
    """The network's ports in order, the range of every named size, and the resolved spec."""
    dims = request.plan.spec.dims if request.plan else {}
    words = {size for port in request.inputs for size in port.shape if isinstance(size, str)}
    content = {
        "name": request.name,
        "precision": request.precision.name if request.precision else "",
        "inputs": list(map(_entry, request.inputs)),
        "outputs": list(map(_entry, request.outputs)),
        "dims": {
            word: {"min": dim.min, "opt": dim.opt, "max": dim.max, "multiple_of": request.multiples.get(word, 1)}
            for word, dim in dims.items()
            if word in words
        },
        "spec": request.metadata.get(SPEC_KEY, ""),
    }
    path = folder / FILE
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return path


def read(graph: Path) -> tuple[dict[str, str], list[str]]:
    """Each input's type by its name, and the names of the outputs, of the file that lies beside `ports.json`."""
    content = json.loads((graph.parent / FILE).read_text(encoding="utf-8"))
    return {port["name"]: port["dtype"] for port in content["inputs"]}, [port["name"] for port in content["outputs"]]


def _entry(port: Port) -> dict[str, Any]:
    return {"name": port.name, "dtype": str(port.dtype).removeprefix("torch."), "shape": list(port.shape)}
