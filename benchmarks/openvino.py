"""OpenVINO on the CPU: operator forms, fixed and open sizes, int8, and torch.onnx's export of the diffusers twin

python -m benchmarks openvino [sd15|ddpm|dit …]

All run in one process in random order. Seconds are of the processor, all threads together: on a machine that others
use as well they vary by a few hundredths where the clock on the wall varies by half.
"""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from statistics import median

import numpy as np
import openvino as ov

from benchmarks import rivals
from benchmarks.process import quiet
from exporters.lowering import OPENVINO, Flavour
from exporters.openvino import conversion
from netspec import api, compiler, deployment, graph, parity
from netspec.target import ExportRequest

THREADS = 2
FORMS: Mapping[str, Flavour] = {
    "as shipped": OPENVINO,
    "GroupNormalization": replace(OPENVINO, group_norm="operator"),
    "primitive attention": replace(OPENVINO, attention="primitive"),
    "x * Sigmoid(x)": replace(OPENVINO, silu="decomposed"),
    "Gemm": replace(OPENVINO, linear="gemm"),
}


def main(*names: str, rounds: int = 9) -> None:
    quiet()
    for name in names or ("ddpm", "dit"):
        with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
            _race(name, Path(folder), rounds)


def _race(name: str, folder: Path, rounds: int) -> None:
    network = rivals.NETWORKS[name]
    rivals.export(name, folder / "rival.onnx")
    targets = {"int8": {"exporter": "openvino", "precision": "int8"}}
    spec = network.load(targets)
    compiler.compile(spec, folder / "ours", compiler.Options(parity=False))
    plan = api.lower(spec)
    request = replace(
        deployment.request_for(plan, graph.build(plan, device="meta").eval()),
        source=folder / "ours" / "model.safetensors",
    )
    inputs = parity.inputs_at(plan, network.sizes)
    runs = {title: _ready(model, inputs, title) for title, model in _models(folder, request)}
    seconds: dict[str, list[float]] = {title: [] for title in runs}
    order = list(runs.items())
    for _ in range(rounds + 1):
        random.shuffle(order)
        for title, run in order:
            started = time.process_time()
            run.infer()
            seconds[title].append(time.process_time() - started)
    medians = {title: median(taken[1:]) for title, taken in seconds.items()}
    print(f"{network.spec} at {dict(network.sizes)}, OpenVINO {ov.__version__}, {THREADS} threads")
    for title, taken in medians.items():
        print(f"  {title:<30} {1e3 * taken:8.1f} ms   {taken / medians['torch.onnx of diffusers']:.3f}x", flush=True)


def _models(folder: Path, request: ExportRequest) -> Iterator[tuple[str, ov.Model]]:
    core = ov.Core()
    yield "torch.onnx of diffusers", core.read_model(folder / "rival.onnx")
    for title, flavour in FORMS.items():
        with conversion.converted(request, flavour) as model:
            yield title, model
            if title == "as shipped":
                yield f"{title}, sizes open", model
    with conversion.converted(request, split=False) as model:
        yield "upsampling whole", model
    yield "int8", core.read_model(folder / "ours" / "int8" / "model.xml")


def _ready(model: ov.Model, inputs: Mapping[str, np.ndarray], title: str) -> ov.InferRequest:
    """Compiled with the machine's own precision, sizes fixed first but where the title says otherwise."""
    model = model.clone()  # to be reshaped
    named = {value.get_node().friendly_name: value for value in model.inputs}
    if not title.endswith("sizes open"):
        model.reshape({value: list(inputs[name].shape) for name, value in named.items()})
    compiled = ov.Core().compile_model(model, "CPU", {"INFERENCE_NUM_THREADS": THREADS})
    run = compiled.create_infer_request()
    for value in compiled.inputs:
        array = inputs[value.get_node().friendly_name].astype(value.element_type.to_dtype())
        run.set_tensor(value, ov.Tensor(np.ascontiguousarray(array)))
    return run


if __name__ == "__main__":
    main()
