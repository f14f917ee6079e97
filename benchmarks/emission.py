"""SD 1.5 from spec to model.onnx without weights, against torch.onnx.export of the same module"""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks.process import measured, netspec, quiet

SPEC = "specs/unet/sd15.yaml"

OURS = """
import time, torch, tempfile, netspec, exporters.onnx
from pathlib import Path
from netspec import deployment, graph
from netspec.weights import store
started = time.perf_counter()
plan = netspec.lower(netspec.load({spec!r}))
model = graph.build(plan, device="meta").eval()
request = deployment.request_for(plan, model, shared=store.layout_of(plan, model))
exporters.onnx.OnnxExporter().run(request, Path({folder!r}))
print(time.perf_counter() - started)
"""

RIVAL = """
import time, torch, netspec
model = netspec.build(netspec.load({spec!r})).eval()
inputs = (torch.randn(2, 4, 64, 64), torch.zeros(2), torch.randn(2, 77, 768))
batch, height, width = (torch.export.Dim(n, min=a, max=b) for n, a, b in (("batch", 1, 8), ("h", 4, 16), ("w", 4, 16)))
shapes = ({{0: batch, 2: 8 * height, 3: 8 * width}}, {{0: batch}}, {{0: batch}})
started = time.perf_counter()
program = torch.onnx.export(model, inputs, dynamo=True, dynamic_shapes=shapes, verbose=False)
print(time.perf_counter() - started)
program.save({folder!r} + "/model.onnx", external_data=True)
"""


def main() -> None:
    quiet()
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        ours = measured(OURS.format(spec=SPEC, folder=folder))
        print(f"netspec, emission after imports      {float(ours.output):6.2f} s  peak {ours.megabytes:6.0f} MB")
        whole = netspec("build", SPEC, "--weights", "none", "--no-parity", "-o", f"{folder}/bundle")
        print(f"netspec build --weights none, whole  {whole.seconds:6.2f} s  peak {whole.megabytes:6.0f} MB")
        rival = measured(RIVAL.format(spec=SPEC, folder=folder))
        seconds = float(rival.output.splitlines()[-1])
        print(f"torch.onnx.export(dynamo=True)       {seconds:6.2f} s  peak {rival.megabytes:6.0f} MB")
        print(
            f"ratios: {seconds / float(ours.output):.0f}x faster after imports, whole process "
            f"{rival.seconds / whole.seconds:.0f}x faster, {rival.megabytes / whole.megabytes:.1f}x less memory"
        )
