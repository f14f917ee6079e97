"""quantise(): int8 by NNCF's post-training quantisation; layers stay in float until the outputs hold a bound.

NNCF chooses ranges, corrects biases and, in networks without convolutions, evens out activations (SmoothQuant). Which
layers it may touch is the precision plan's say; what lies between them stays in float.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path

import nncf
import numpy as np
import openvino as ov

from exporters.openvino.runtime import ACCURATE, expose, run
from exporters.quantize import samples as sampling
from exporters.quantize.report import Report, rows, tenths
from exporters.quantize.samples import Sample
from exporters.quantize.settings import Settings
from exporters.quantize.sqnr import Energies, worst
from netspec.errors import Diagnostic, ExportError
from netspec.precision import PrecisionPlan
from netspec.target import ExportRequest

ROUNDS = 6
# Only moves numbers about: what such a node reads and makes shares one range.
_MOVES = {
    "Broadcast", "Concat", "DepthToSpace", "Gather", "Pad", "Reshape", "Slice", "Split", "Squeeze", "StridedSlice",
    "Transpose", "Unsqueeze", "VariadicSplit",
}  # fmt: skip
_PRODUCTS = ("Convolution", "GroupConvolution", "ConvolutionBackpropData", "MatMul")


def quantise(
    model: ov.Model, request: ExportRequest, settings: Settings, folder: Path
) -> tuple[ov.Model, tuple[Path, ...]]:
    """The model in int8, and the files that say how well that went.

    Raises ExportError: NS560 for the calibration file, NS581 where no layer can be quantised within the bound.
    """
    precision, plan = request.precision, request.plan
    assert precision is not None  # a deployment always says
    assert plan is not None
    fitted, held = sampling.chosen(request, settings.calibration)
    names, outputs = [node.name for node in plan], [port.name for port in request.outputs]
    layers = _layers(model, precision)
    wanted = _values(model, held, names)
    kept: dict[str, str] = {}
    tried: list[tuple[int, float]] = []
    for _ in range(ROUNDS):
        chosen = {node: path for node, path in layers.items() if path not in kept}
        if not chosen:
            break
        made = _quantised(model, request, chosen, fitted)
        sqnr = _compare(made, held, wanted, names)
        tried.append((len(set(chosen.values())), tenths(worst(sqnr, outputs))))
        if tried[-1][1] >= settings.sqnr:
            report = Report(
                request.name, precision.name, "NNCF", settings.sqnr,
                {name: tenths(sqnr[name]) for name in outputs},
                {name: tenths(sqnr[name]) for name in names if name in sqnr and name not in outputs},
                rows(precision, kept, {}, {}),
                {"samples": len(fitted), "held_out": len(held), "source": settings.calibration or "diffusion"}, tried,
            )  # fmt: skip
            return made, report.write(folder)
        kept |= _given_back([name for name in names if name in sqnr], sqnr, set(chosen.values()))
    raise ExportError(
        Diagnostic(
            "NS581",
            f"int8 loses too much: outputs keep {tried[-1][1] if tried else 0.0:.1f} of {settings.sqnr:g} dB",
            notes=tuple(f"{count:>5} layers  {sqnr:6.1f} dB" for count, sqnr in tried),
            help=("ask for less (`sqnr`), or calibrate on inputs of your own (`calibration`)",),
        )
    )


def _layers(model: ov.Model, precision: PrecisionPlan) -> dict[str, str]:
    """Nodes that the plan wants in int8: name of the node → path of its module."""
    found: dict[str, str] = {}
    quantised = frozenset(precision.quantised)
    for node in model.get_ordered_ops():
        if node.get_type_name() in _PRODUCTS:
            path = _module(node.friendly_name, quantised)
            if path is not None and any(_is_constant(value) for value in node.input_values()):
                found[node.friendly_name] = path
    return found


def _module(name: str, paths: frozenset[str]) -> str | None:
    """The module that a node belongs to, if it is one of these: nodes are named by its path."""
    path = name.replace("/", ".")
    while path and path not in paths:
        path = path.rpartition(".")[0]
    return path or None


def _is_constant(value: ov.Output) -> bool:
    node = value.get_node()
    moved = node.get_type_name() in ("Convert", *_MOVES) and all(map(_is_constant, node.input_values()))
    return node.get_type_name() == "Constant" or moved


def _quantised(
    model: ov.Model, request: ExportRequest, chosen: Mapping[str, str], samples: Sequence[Sample]
) -> ov.Model:
    names = {value.any_name for value in model.inputs}
    data = nncf.Dataset([{name: sample[name] for name in names} for sample in samples])
    others = [
        node.friendly_name
        for node in model.get_ordered_ops()
        if node.friendly_name not in chosen and node.get_type_name() not in {"Constant", "Parameter", "Result", *_MOVES}
    ]
    assert request.precision is not None  # a deployment always says
    roles = {request.precision.parts[path].role for path in chosen.values()}
    with _quiet():
        return nncf.quantize(
            model.clone(),
            data,
            preset=nncf.QuantizationPreset.MIXED,
            model_type=None if "conv" in roles else nncf.ModelType.TRANSFORMER,
            subset_size=len(samples),
            ignored_scope=nncf.IgnoredScope(names=others, validate=False),
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """NNCF's progress is no news to whoever builds a target."""
    log = logging.getLogger("nncf")
    before = log.level
    nncf.set_log_level(logging.ERROR)
    try:
        with redirect_stdout(io.StringIO()):
            yield
    finally:
        nncf.set_log_level(before)


def _values(model: ov.Model, samples: Sequence[Sample], names: Sequence[str]) -> list[dict[str, np.ndarray]]:
    """For each sample the outputs, and every value of the plan's nodes that the model still has."""
    exposed = model.clone()
    expose(exposed, names)
    compiled = ov.Core().compile_model(exposed, "CPU", ACCURATE)
    return [run(compiled, sample) for sample in samples]


def _compare(
    model: ov.Model, samples: Sequence[Sample], wanted: Sequence[Mapping[str, np.ndarray]], names: Sequence[str]
) -> dict[str, float]:
    """Decibels of each value that both have."""
    found: dict[str, Energies] = {}
    for exact, made in zip(wanted, _values(model, samples, names), strict=True):
        for name in exact.keys() & made.keys():
            found.setdefault(name, Energies()).add(exact[name], made[name])
    return {name: energies.decibels for name, energies in found.items()}


def _given_back(blocks: Sequence[str], sqnr: Mapping[str, float], paths: set[str]) -> dict[str, str]:
    """The layers of the blocks that add most noise, an eighth of all blocks that have any: path → why."""
    drops: dict[str, float] = {}
    before = None
    for block in blocks:
        if any(_inside(path, block) for path in paths):
            drops[block] = 0.0 if before is None else before - sqnr[block]
            before = sqnr[block]
    worst_first = sorted(drops, key=lambda block: -drops[block])[: -(-len(drops) // 8)]
    return {
        path: f"its block leaves {sqnr[block]:.1f} dB"
        for block in worst_first
        for path in sorted(paths)
        if _inside(path, block)
    }


def _inside(path: str, block: str) -> bool:
    return path == block or path.startswith(f"{block}.")
