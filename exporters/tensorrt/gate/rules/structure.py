"""NS521: the file is valid ONNX, in the order in which it can be run."""

from __future__ import annotations

from collections.abc import Iterator

import onnx

from exporters.tensorrt.gate.inference import stand_in
from exporters.tensorrt.gate.report import Finding
from exporters.tensorrt.gate.rules.case import Case

_REMEDY = "export the model again; a file that was edited by hand needs its names and order mended"


def check(case: Case) -> Iterator[Finding]:
    """Names given once, nodes after what they read, and ONNX's own checker and shape inference."""
    found = [*_names(case), *_order(case)]
    yield from found
    if not found and (reason := _refusal(case)):
        yield Finding("NS521", "", reason, _REMEDY)


def _names(case: Case) -> Iterator[Finding]:
    graph = case.graph
    outer = {*graph.inputs, *graph.initializers}
    seen: set[tuple[int, str]] = set()  # two branches may use one name
    for node in graph.nodes:
        for name in node.outputs:
            if name in outer or (node.body, name) in seen:
                yield node.finding("NS521", f"value `{name}` is made twice", _REMEDY)
            if name:
                seen.add((node.body, name))
    named: set[str] = set()
    for node in graph.nodes:
        if node.proto.name and node.name in named:
            reason = "two nodes have one name, so a profile or an engine's layers cannot be told apart"
            yield node.finding("NS521", reason, "give every node a name of its own", "warning")
        named.add(node.name)
    if graph.model.graph.sparse_initializer:
        yield Finding("NS521", "", "sparse initializers are not imported", "store weights as dense tensors")


def _order(case: Case) -> Iterator[Finding]:
    graph = case.graph
    position = {name: index for index, node in enumerate(graph.nodes) for name in node.outputs}
    for index, node in enumerate(graph.nodes):
        for name in node.inputs:
            if name in graph.inputs or name in graph.initializers or not name:
                continue
            if name not in position and not node.scope:
                yield node.finding("NS521", f"nothing makes its input `{name}`", _REMEDY)
            elif position.get(name, -1) >= index:
                yield node.finding("NS521", f"its input `{name}` is made later: nodes are not sorted", _REMEDY)


def _refusal(case: Case) -> str:
    """Why ONNX refuses the file; weights are stood in for, so none is needed."""
    try:
        onnx.checker.check_model(stand_in(case.graph.model))
    except Exception as error:  # ValidationError, or whatever else the C++ side throws
        return f"ONNX's checker refuses the file: {_line(error)}"
    standard = all(not node.domain for node in case.graph.nodes)
    if standard and case.graph.inference_error:
        return f"ONNX's shape inference refuses the file: {case.graph.inference_error[:300]}"
    return ""


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
