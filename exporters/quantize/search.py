"""quantise(): write a target in few bits, measure it, and give layers back to float until the bound holds."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import onnx_ir as ir

from exporters.lowering import Flavour, Slot, emit
from exporters.quantize import report as reports
from exporters.quantize import samples as sampling
from exporters.quantize.calibration import Ranges, Watched, plain, reference
from exporters.quantize.insertion import insert
from exporters.quantize.layers import Layer, layers
from exporters.quantize.report import Report, tenths
from exporters.quantize.samples import Sample
from exporters.quantize.scheme import Scheme
from exporters.quantize.settings import DEFAULT, Settings
from exporters.quantize.sqnr import MOST, Recording, worst
from exporters.quantize.weights import Packed, pack
from netspec.errors import Diagnostic, ExportError
from netspec.plan import Plan
from netspec.precision import FLOATS, Part, PrecisionPlan
from netspec.target import ExportRequest

GRAPH = "model.onnx"
MARGIN = 0.8  # of the noise that the bound allows: what a prediction aims at
ROUNDS = 12


@dataclass(frozen=True)
class Writing:
    """A finished target: its files, the graph first, and what was done."""

    files: tuple[Path, ...]
    report: Report


def quantise(
    request: ExportRequest, folder: Path, flavour: Flavour, scheme: Scheme, settings: Settings = DEFAULT
) -> Writing:
    """Write `model.onnx`, `model.safetensors` and the report into `folder`.

    Layers are those that `request.precision` has in few bits. Their ranges come from the float network on samples; the
    written graph is then run on other ones, and while an output has more noise than `settings.sqnr` allows, the layers
    that lose most stay in float. Raises ExportError: NS560 for the calibration file, NS562 where no layer can be
    quantised so, NS563 where there is none.
    """
    search = _Search(request, folder, flavour, scheme, settings)
    chosen, measured, tried = search.run()
    return search.write(chosen, measured, tried)


class _Search:
    """One network on its way into one target's folder."""

    def __init__(
        self, request: ExportRequest, folder: Path, flavour: Flavour, scheme: Scheme, settings: Settings
    ) -> None:
        assert request.precision is not None  # a deployment always says
        assert request.plan is not None
        assert request.source is not None  # NS511 has been told
        self.request, self.folder, self.flavour, self.scheme, self.settings = request, folder, flavour, scheme, settings
        self.plan: Plan = request.plan
        self.precision: PrecisionPlan = request.precision
        self.outputs = [port.name for port in request.outputs]
        self.why: dict[str, str] = {}
        self.noise: dict[str, float] = {}  # of each layer and each weight, known once it was written
        self.weight_noise: dict[str, float] = {}
        fitted, held = sampling.chosen(request, settings.calibration)
        source = "diffusion" if settings.calibration is None else Path(settings.calibration).name
        self.counts = {"samples": len(fitted), "held_out": len(held), "source": source}
        self.candidates, self.recording = self._calibrate(fitted, held)

    def run(self) -> tuple[dict[str, Layer], dict[str, float], list[tuple[int, float]]]:
        """The layers that may be in few bits, what was measured with them, and every set that was tried."""
        chosen, tried = dict(self.candidates), []
        for _ in range(ROUNDS):
            measured = self._measure(chosen)
            sqnr = worst(measured, self.outputs)
            tried.append((len(chosen), tenths(sqnr)))
            if tenths(sqnr) >= self.settings.sqnr:
                return chosen, measured, tried
            chosen = self._fewer(chosen, sqnr)
            if not chosen:
                break
        raise ExportError(
            Diagnostic(
                "NS562",
                f"nothing can be in {self.precision.name}: {tried[-1][1]:.1f} of {self.settings.sqnr:g} dB are kept",
                notes=tuple(f"{count:>5} layers  {sqnr:6.1f} dB" for count, sqnr in tried),
                help=("ask for less (`sqnr`), for more bits, or calibrate on inputs of your own (`calibration`)",),
            )
        )

    def write(
        self, chosen: Mapping[str, Layer], measured: Mapping[str, float], tried: Sequence[tuple[int, float]]
    ) -> Writing:
        """The files, in the target's own types."""
        graph = self.folder / GRAPH
        if self.precision.base != "fp32":  # otherwise the last one measured is it
            self._graph(chosen, self.request, self.folder)
        blocks = {name: tenths(sqnr) for name, sqnr in measured.items() if name not in self.outputs}
        read = {path: layer.read.noise for path, layer in self.candidates.items() if layer.read is not None}
        report = Report(
            self.request.name, self.precision.name, self.scheme.name, self.settings.sqnr,
            {name: tenths(measured[name]) for name in self.outputs}, blocks,
            reports.rows(self.precision, self.why, read, self.weight_noise, self.noise), self.counts, tried,
        )  # fmt: skip
        return Writing((graph, *report.write(self.folder)), report)

    def _calibrate(self, fitted: Sequence[Sample], held: Sequence[Sample]) -> tuple[dict[str, Layer], Recording]:
        """Run the float network: ranges on the first, values to compare with on the others."""
        source = self.request.source
        assert source is not None  # NS511 has been told
        model = reference(self.request)
        ranges = Ranges(model, self.precision.quantised, self.scheme.operators)
        activations = self.scheme.activations != "none"
        blocks = [node.name for node in self.plan]
        wanted = [*(ranges.names if activations else ()), *blocks]
        run = Watched(model, source.parent, wanted)
        if activations:
            ranges.watch(run, fitted, sampling.largest(self.request, fitted[0]))
        recording = Recording.of(run, held, [*self.outputs, *blocks])
        modules = dict(self.request.model.named_modules(remove_duplicate=False))
        found = layers(modules, self.precision, ranges, self.scheme, self.settings.block)
        for path in self.precision.quantised:
            if path not in found:
                self.why[path] = (
                    "rows split into no blocks" if path in ranges.paths else f"{self.scheme.name} has no form"
                )
        if not found:
            raise ExportError(
                Diagnostic(
                    "NS563",
                    f"{self.request.name} has no layer that {self.precision.name} is for",
                    help=("`netspec explain NS563` says which layers each precision is for",),
                )
            )
        return found, recording

    def _measure(self, chosen: Mapping[str, Layer]) -> dict[str, float]:
        """Write the graph with these layers in few bits and compare it with the float network.

        Where halves lie between them, which not every machine computes, a twin with float32 there is measured.
        """
        if self.precision.base == "fp32":
            return self._compared(self._graph(chosen, self.request, self.folder), self.folder)
        request = exact_between(self.request)
        with tempfile.TemporaryDirectory(dir=self.folder, prefix=".twin-") as name:
            twins = {path: replace(layer, base=FLOATS["fp32"]) for path, layer in chosen.items()}
            return self._compared(self._graph(twins, request, Path(name)), Path(name))

    def _compared(self, model: ir.Model, folder: Path) -> dict[str, float]:
        return self.recording.compare(Watched(model, folder, [node.name for node in self.plan]))

    def _graph(self, chosen: Mapping[str, Layer], request: ExportRequest, folder: Path) -> ir.Model:
        """Weights and graph, in `folder`."""
        packed = pack(request, folder, chosen, self.scheme)
        self.noise |= packed.noise
        self.weight_noise |= packed.weight_noise
        flavour = plain(self.flavour) if "Conv" in self.scheme.operators else self.flavour
        if self.scheme.whole_bias:  # a Gemm adds them
            flavour = replace(flavour, linear="gemm")
        model = emit(request, flavour, _placeholders(request, packed))
        insert(model, chosen, self.scheme, packed)
        ir.save(model, folder / GRAPH)
        return model

    def _fewer(self, chosen: Mapping[str, Layer], sqnr: float) -> dict[str, Layer]:
        """Without the layers that lose most, as many as should let the bound hold; at least one in sixteen."""
        lost = {path: self.noise[path] for path in chosen}
        allowed = sum(lost.values()) * MARGIN * 10 ** ((sqnr - self.settings.sqnr) / 10)
        order = sorted(lost, key=lambda path: lost[path])
        kept: list[str] = []
        total = 0.0
        for path in order[: len(order) - max(1, len(order) // 16)]:
            total += lost[path]
            if total > allowed and sqnr > -MOST:
                break
            kept.append(path)
        for path in set(chosen) - set(kept):
            self.why[path] = f"the bound of {self.settings.sqnr:g} dB"
        return {path: chosen[path] for path in chosen if path in set(kept)}


def exact_between(request: ExportRequest) -> ExportRequest:
    """The request with float32 wherever it has halves; what is in few bits stays so."""
    precision = request.precision
    assert precision is not None  # a deployment always says
    parts = {
        path: Part(path, part.role, "fp32" if part.dtype in FLOATS else part.dtype, part.why, part.weights)
        for path, part in precision.parts.items()
    }
    inputs, outputs = (
        [replace(port, dtype=FLOATS["fp32"]) if port.dtype.is_floating_point else port for port in ports]
        for ports in (request.inputs, request.outputs)
    )
    exact = PrecisionPlan(precision.name, "fp32", parts, precision.exact)
    return replace(request, precision=exact, inputs=inputs, outputs=outputs)


def _placeholders(request: ExportRequest, packed: Packed) -> dict[str, Slot]:
    """Places of all weights for the emission, which knows floats only: those in few bits have the length of floats, and
    no place until they are put in."""
    assert request.precision is not None  # a deployment always says
    slots = dict(packed.slots)
    for key, tensor in request.tensors().items():
        if key in slots:
            length = tensor.numel() * request.precision.stored(key, tensor).itemsize
            slots[key] = Slot(slots[key].location, slots[key].offset, length)
    return slots
