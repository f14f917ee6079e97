"""gate(): every rule over one file, for one version of TensorRT."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import onnx
import onnx.inliner
from onnx import ModelProto

from exporters.tensorrt.gate import attention, table
from exporters.tensorrt.gate.graph import FLOATS, Graph, dtype_name, tensor_bytes, tensors
from exporters.tensorrt.gate.profile import FILE, Profile, activation_bytes, largest
from exporters.tensorrt.gate.report import Finding, Gate
from exporters.tensorrt.gate.rules import RULES, Case
from netspec.errors import Diagnostic, UsageError

_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}


def gate(
    path: str | os.PathLike[str],
    version: str = "11",
    profile: Mapping[str, Mapping[str, Sequence[int]]] | str | os.PathLike[str] | None = None,
    memory: int | str | None = None,
) -> Gate:
    """Judge one ONNX file, whoever wrote it, without reading its weights.

    version: of TensorRT: `10.3`, `10.14`, `11`, with or without `tensorrt-` before it.
    profile: sizes of the inputs, `{"x": {"min": [...], "opt": [...], "max": [...]}}`, or a JSON file that says so;
    by default `profile.json` beside the file, where there is one.
    memory: of the GPU, in bytes or as text, such as `24GB`; what the network needs is compared with it.
    Raises UsageError for an unknown version, profile or memory; never for what is wrong with the file.
    """
    facts = table.version(version)
    path = Path(path)
    sizes = _profile(path, profile)
    limit = amount_of_memory(memory) if isinstance(memory, str) else memory
    try:
        model = read(path)
    except Unreadable as error:
        return Gate(path.name, facts.name, (error.finding,), {})
    graph = Graph(model)
    at = largest(graph, sizes)
    inside = attention.unwritten(graph, facts)
    activations = activation_bytes(graph, at, inside) if at else 0
    case = Case(graph, facts, path.parent, sizes, at, inside, activations, limit)
    findings = tuple(finding for rule in RULES for finding in rule(case))
    return Gate(path.name, facts.name, findings, _facts(case))


class Unreadable(Exception):
    """A file that is no ONNX model."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        remedy = "give an .onnx file, whole, as its exporter wrote it"
        self.finding = Finding("NS520", "", reason, remedy)


def read(path: Path) -> ModelProto:
    """The model, local functions written out, without its external weights. Raises Unreadable."""
    try:
        model = onnx.load(path, load_external_data=False)
    except OSError as error:
        raise Unreadable(f"cannot read the file: {error.strerror or type(error).__name__}") from error
    except Exception as error:  # protobuf's DecodeError and others, by way of whichever implementation runs
        raise Unreadable(f"not an ONNX model: {_line(error)}") from error
    if not model.HasField("graph") or not (model.graph.node or model.graph.output):
        raise Unreadable("not an ONNX model: it holds no graph")
    if not _is_text(model):
        raise Unreadable("not an ONNX model: a name in it is no text")
    if not model.functions:
        return model
    try:
        return onnx.inliner.inline_local_functions(model)
    except Exception as error:  # of the C++ side
        raise Unreadable(f"its local functions cannot be written out: {_line(error)}") from error


def _is_text(message: Any) -> bool:
    """Whether every text in a protobuf message is UTF-8; what is not comes out as bytes."""
    for field, value in message.ListFields():
        if field.type not in (field.TYPE_STRING, field.TYPE_MESSAGE):
            continue
        alone = isinstance(value, str | bytes) or hasattr(value, "ListFields")
        for each in (value,) if alone else value:
            if isinstance(each, bytes) or (field.type == field.TYPE_MESSAGE and not _is_text(each)):
                return False
    return True


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


def _profile(path: Path, given: Mapping[str, Any] | str | os.PathLike[str] | None) -> Profile | None:
    if isinstance(given, Mapping):
        return Profile.of(given)
    if given is not None:
        return Profile.read(Path(given))
    beside = path.with_name(FILE)
    return Profile.read(beside) if beside.is_file() else None


def amount_of_memory(text: str) -> int:
    """`24GB` as 24,000,000,000. Raises UsageError NS547."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", text)
    if match is None or match[2].upper() not in _UNITS:
        raise UsageError(Diagnostic("NS547", f"`{text}` is no amount of memory", help=("write it as 24GB or 8GiB",)))
    return int(float(match[1]) * _UNITS[match[2].upper()])


def _facts(case: Case) -> dict[str, Any]:
    graph = case.graph
    weights = list(tensors(graph.model))
    types = Counter(graph.dtype(name) or "unknown" for name in graph.values)
    facts: dict[str, Any] = {
        "opset": graph.opset,
        "nodes": dict(sorted(Counter(node.op for node in graph.nodes).items())),
        "types": dict(types.most_common()),
        "weights": dict(sorted(Counter(dtype_name(each.data_type) for each in weights).items())),
        "inputs": {
            name: {"type": kind.dtype, "shape": list(kind.shape) if kind.shape is not None else None}
            for name, kind in graph.inputs.items()
        },
    }
    if case.at is not None and (floats := [name for name in case.written if graph.dtype(name) in FLOATS]):
        name = max(floats, key=case.at.elements)
        facts["at_max"] = {
            "largest": {"name": name, "shape": list(case.at.shapes[name]), "elements": case.at.elements(name)},
            "memory": {"activations": case.activations, "weights": sum(tensor_bytes(each) for each in weights)},
            "values_of_unknown_size": case.at.unknown,
        }
    return facts
