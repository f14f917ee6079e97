"""The `tensorrt` target: a strongly typed graph that the gate lets through, and all that makes an engine of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import onnx_ir as ir

from exporters.lowering import TENSORRT, TENSORRT_NATIVE, Flavour, emit, pack
from exporters.onnx import twin
from exporters.onnx.exporter import invalid
from exporters.quantize import SCHEMES, SQNR, Settings, quantise, refusals, tolerance
from exporters.tensorrt import recipes, sizes
from exporters.tensorrt.gate import Gate, gate
from exporters.tensorrt.gate.gate import amount_of_memory
from exporters.tensorrt.gate.table import number, version
from netspec.errors import Diagnostic, UsageError
from netspec.parity import tolerance_of
from netspec.planner.points import Env
from netspec.target import ExportRequest, Runner, Target

PORTABLE = ("10.3", "11")  # JetPack 6, and the newest
NATIVE = ("10.14", "11")  # the first that imports Attention
FLAVOURS: Mapping[str, Flavour] = {"primitive": TENSORRT, "native": TENSORRT_NATIVE}
GATE = "gate.json"


class TensorRTExporter(Target):
    """ONNX for TensorRT, whose engines take every type from the graph.

    attention: `primitive`, a pattern that TensorRT fuses where it has a kernel, or `native`, one operator that it never
    takes apart, from 10.14 on.
    versions: of TensorRT that the graph shall be ready for; quote those that end with a zero.
    guidance: the profile has room for classifier-free guidance, which runs every sample twice.
    memory: of the GPU, such as `24GB`: what the gate compares with, and the limit of the builder's workspace.
    refit: engines whose weights can be replaced, by the names of the network's own.
    calibration, sqnr: for layers in 8 bits, see `exporters.quantize.Settings`.
    """

    name: ClassVar[str] = "tensorrt"
    file: ClassVar[str] = "model.onnx"
    precisions: ClassVar[Mapping[str, str]] = {
        "fp32": "fp32", "fp16": "fp16", "bf16": "bf16", "int8": "fp16", "fp8": "fp16",
    }  # fmt: skip

    def __init__(
        self,
        attention: str = "primitive",
        versions: Sequence[str | float] | None = None,
        guidance: bool = False,
        memory: str | None = None,
        refit: bool = False,
        calibration: str | None = None,
        sqnr: float = SQNR,
    ) -> None:
        self.attention = attention
        self.versions = versions if versions is not None else NATIVE if attention == "native" else PORTABLE
        self.guidance = guidance
        self.memory = memory
        self.refit = refit
        self.settings = Settings(calibration, sqnr)
        self._gated: dict[str, tuple[Gate, ...]] = {}

    def tolerance(self, request: ExportRequest) -> float | None:
        return tolerance(self.settings) if _eight_bits(request) else None

    def requires(self, request: ExportRequest) -> Iterator[Diagnostic]:
        wrong = [*self._wrong_options(request), *refusals(self.settings)]
        yield from wrong
        if wrong:
            return
        if self.guidance and sizes.batch_word(request) is None:
            what = "guidance runs every sample twice, but the batch is of one fixed size"
            remedy = "give the batch a range: `dims: {batch: {min: 1, opt: 1, max: 4}}`, or leave `guidance` out"
            yield _refusal(request, "NS551", "guidance", what, remedy)
        if self.attention == "native":
            yield from self._without_kernel(request)

    def export(self, request: ExportRequest, folder: Path) -> tuple[Path, ...]:
        assert request.precision is not None  # a deployment always says
        graph, *reports = self._network(request, folder)
        files = recipes.write(
            folder,
            sizes.profile_of(request, self.guidance),
            request.precision,
            dynamic=[port.name for port in request.inputs if any(isinstance(size, str) for size in port.shape)],
            memory=None if self.memory is None else amount_of_memory(self.memory),
            refit=self.refit,
        )
        verdicts = self._gates(graph)
        report = {"passed": all(each.passed for each in verdicts), "gates": [each.data() for each in verdicts]}
        text = json.dumps(report, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
        (folder / GATE).write_text(text, encoding="utf-8", newline="\n")
        return (graph, *files, folder / GATE, *reports)

    def _network(self, request: ExportRequest, folder: Path) -> tuple[Path, ...]:
        """The graph and its weights, and what was measured where some are in 8 bits."""
        flavour = FLAVOURS[self.attention]
        if kinds := _eight_bits(request):
            return quantise(request, folder, flavour, SCHEMES[f"trt-{min(kinds)}"], self.settings).files
        graph = folder / self.file
        ir.save(emit(request, flavour, pack(request, folder)), graph)
        return (graph,)

    def ensures(self, request: ExportRequest, files: tuple[Path, ...]) -> Iterator[Diagnostic]:
        graph = files[0]
        for verdict in self._gates(graph):
            yield from _refusals(verdict)
        yield from invalid(graph)
        if twin.proves(request):
            yield from twin.differences(graph, request, FLAVOURS[self.attention])

    def runner(self, graph: Path) -> Runner:
        return twin.runner(graph)

    def twin(self, request: ExportRequest) -> Runner | None:
        return twin.exact(request, FLAVOURS[self.attention]) if twin.proves(request) else None

    def samples(self, request: ExportRequest) -> Sequence[Env]:
        return [sizes.environment(request, point, self.guidance) for point in ("opt", "min")]

    def ship(
        self, request: ExportRequest, folder: Path, inputs: Mapping[str, np.ndarray], outputs: Mapping[str, np.ndarray]
    ) -> None:
        told = self.tolerance(request)
        tolerance = tolerance_of(request.precision) if told is None else told
        recipes.write_run(folder, request.inputs, inputs, outputs, tolerance)

    def _gates(self, graph: Path) -> tuple[Gate, ...]:
        """A verdict for each version; once for each content, which is judged when it is written and when ensured."""
        profile = graph.with_name(recipes.PROFILE)
        content = hashlib.sha256(graph.read_bytes() + profile.read_bytes()).hexdigest()
        if content not in self._gated:
            self._gated[content] = tuple(gate(graph, str(each), profile, self.memory) for each in self.versions)
        return self._gated[content]

    def _wrong_options(self, request: ExportRequest) -> Iterator[Diagnostic]:
        """NS550 for values that no option takes; a spec may hold anything."""

        def wrong(option: str, remedy: str) -> Diagnostic:
            what = f"`{option}: {getattr(self, option)}` is nothing that the exporter knows"
            return _refusal(request, "NS550", option, what, remedy)

        if len(_eight_bits(request)) > 1:
            yield _refusal(request, "NS550", "precision", "a graph has int8 or fp8, not both", "use one of them")
        if self.attention not in list(FLAVOURS):
            yield wrong("attention", f"one of: {', '.join(FLAVOURS)}")
        for option in ("guidance", "refit"):
            if not isinstance(getattr(self, option), bool):
                yield wrong(option, "one of: true, false")
        if self.memory is not None and not _is_known(lambda: amount_of_memory(str(self.memory))):
            yield wrong("memory", "write it as 24GB or 8GiB")
        listed = isinstance(self.versions, (list, tuple)) and len(self.versions) > 0
        if not listed or not all(_is_known(lambda each=each: version(str(each))) for each in self.versions):
            yield wrong("versions", 'a list such as [10.3, 11]; quote a version that ends with a zero: "10.10"')
        elif self.attention == "native":
            early = [str(each) for each in self.versions if version(str(each)).number < number(NATIVE[0])]
            if early:
                what = f"TensorRT {', '.join(early)} imports no Attention operator"
                remedy = f"`attention: primitive`, or `versions` from {NATIVE[0]} on"
                yield _refusal(request, "NS552", "attention", what, remedy)

    def _without_kernel(self, request: ExportRequest) -> Iterator[Diagnostic]:
        """NS553 for attention that no fused kernel takes, before any weight is written."""
        facts = version(str(self.versions[0]))
        bare = replace(request, source=None)
        model = emit(bare, FLAVOURS[self.attention], pack(bare, Path()))  # without a source, nothing is written
        for node in model.graph:
            if node.op_type != "Attention":
                continue
            query = node.inputs[0]
            assert query is not None
            assert query.shape is not None
            head = int(query.shape[3])  # type: ignore[arg-type]  # a network's widths are numbers
            if query.dtype == ir.DataType.FLOAT:
                why = "fused kernels are for halves, and this attention is in fp32"
            elif head > facts.largest_head or head % facts.head_multiple:
                rule = f"fused kernels take up to {facts.largest_head}, in multiples of {facts.head_multiple}"
                why = f"heads of {head}: {rule}"
            else:
                continue
            source = node.metadata_props.get("netspec.source", "")
            yield Diagnostic(
                "NS553",
                f"`{node.name}` has no fused kernel, and TensorRT does not take the Attention operator apart",
                notes=(why, *((f"made for {node.metadata_props['netspec.path']} ({source})",) if source else ())),
                help=("`attention: primitive`",),
                path=node.metadata_props.get("netspec.path", ""),
            )
            return  # its kin are no news


def _refusals(verdict: Gate) -> Iterator[Diagnostic]:
    """What the gate refuses: of each kind the first, and how many follow."""
    kinds: dict[tuple[str, ...], list[Diagnostic]] = {}
    for each in verdict.diagnostics():
        kinds.setdefault((each.code, *each.help), []).append(each)
    for first, *more in kinds.values():
        others = (f"and {len(more)} more of the kind",) if more else ()
        yield replace(first, message=f"TensorRT {verdict.version}: {first.message}", notes=(*first.notes, *others))


def _eight_bits(request: ExportRequest) -> frozenset[str]:
    return frozenset() if request.precision is None else request.precision.uses & {"int8", "fp8"}


def _is_known(read: Any) -> bool:
    try:
        read()
    except UsageError:
        return False
    return True


def _refusal(request: ExportRequest, code: str, option: str, what: str, remedy: str) -> Diagnostic:
    """A finding about an option, at the place where some target of this exporter gives it."""
    assert request.plan is not None  # a deployment always has one
    spec = request.plan.spec
    targets = spec.targets.items()
    given = (name for name, each in targets if each.exporter == "tensorrt" and option in ("precision", *each.options))
    name = next(given, "")
    span = spec.place(("targets", name, option)).value if name else None
    return Diagnostic(code, what, span, help=(remedy,), path=f"targets.{name}.{option}" if name else "targets")
