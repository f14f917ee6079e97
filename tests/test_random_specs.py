"""Random specs of the whole language: what is refused is refused in words, what is lowered is what is built and run.

NETSPEC_EXAMPLES=5000 looks longer than CI does; NETSPEC_SEED=1 looks elsewhere.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from drawn import Data
from drawn import spec as drawn_spec
from hypothesis import HealthCheck, Phase, given, seed, settings
from torch import Tensor, fx
from torch.utils.flop_counter import FlopCounterMode

import netspec
from exporters.lowering import FLAVOURS
from exporters.onnx import OnnxExporter
from netspec import graph, parity
from netspec import spec as specs
from netspec.deployment import request_for
from netspec.errors import SpecError
from netspec.plan import Plan
from netspec.planner.points import Point, points
from netspec.weights import store
from netspec.weights.aligned import AlignedWriter

EXAMPLES = int(os.environ.get("NETSPEC_EXAMPLES", "50"))
# ONNX Runtime may be this many times further from float64 than PyTorch is in float32: both sum in float32, in other
# orders; the floor is for networks where PyTorch happens to be exact.
TIMES, FLOOR = 32, 2e-6
DTYPES = {"": torch.float32, "float32": torch.float32, "int64": torch.int64}


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
def test_random_specs(tmp_path: Path) -> None:
    verdicts: list[bool] = []

    @seed(int(os.environ.get("NETSPEC_SEED", "0")))
    @settings(
        max_examples=EXAMPLES, deadline=None, database=None, derandomize="NETSPEC_SEED" not in os.environ,
        suppress_health_check=list(HealthCheck), phases=(Phase.generate, Phase.shrink),
    )  # fmt: skip
    @given(drawn_spec())
    def holds(data: Data) -> None:
        verdicts.append(examine(data, tmp_path))

    holds()
    assert sum(verdicts) > EXAMPLES // 4, "most of what is drawn is refused: the tests see little"


def examine(data: Data, folder: Path) -> bool:
    """Whether the spec is sound; if so, everything about it has been held against PyTorch and ONNX Runtime."""
    plan = lowered(data)
    if plan is None:
        return False
    reads_back(plan)
    meta = graph.build(plan, device="meta").eval()
    counts(plan, meta)
    model = graph.build(plan).eval()
    without_zeros(model)
    made = points(plan)
    chosen = [next(p for p in made if p.name == "opt" or len(made) == 1 or p.sizes == opt(plan)), made[-1], made[0]]
    wanted = {point.name: runs(plan, model, point) for point in chosen}
    for flavour in FLAVOURS:
        exports(plan, model, flavour, chosen, wanted, folder)
    return True


def opt(plan: Plan) -> dict[str, int]:
    return {name: dim.opt for name, dim in plan.spec.dims.items()}


def lowered(data: Data) -> Plan | None:
    """The plan, or None where netspec refuses with a reason. Sizes that valid convolutions give are taken over."""
    for _ in range(2):
        try:
            return netspec.lower(netspec.loads(json.dumps(data)))
        except SpecError as error:
            assert error.diagnostics
            for each in error.diagnostics:
                assert each.code.startswith("NS") and each.message
            found = re.match(r"output is (\d+)x(\d+),", error.diagnostics[0].message)
            if found is None:
                return None
            data = {**data, "output": [*data["output"][:2], int(found[1]), int(found[2])]}
    return None


def reads_back(plan: Plan) -> None:
    again = netspec.loads(specs.text(plan.spec))
    assert again == plan.spec
    assert specs.text(again) == specs.text(plan.spec)
    assert netspec.lower(again).text() == plan.text()


def counts(plan: Plan, meta: graph.Model) -> None:
    assert sum(p.numel() for p in meta.parameters()) == plan.cost.params
    assert sum(b.numel() for b in meta.buffers()) == plan.cost.frozen
    given = [
        torch.empty([size.opt for size in kind.shape], dtype=DTYPES[kind.dtype], device="meta")
        for kind in plan.inputs.values()
    ]
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        meta(*given)
    assert counter.get_total_flops() == 2 * plan.cost.macs


def without_zeros(model: graph.Model) -> None:
    """Noise where a parameter starts at zero, so that nothing hides behind it."""
    with torch.no_grad():
        for parameter in model.parameters():
            if not parameter.any():
                parameter.normal_(std=0.02)


class Recorder(fx.Interpreter):
    """Runs a model and keeps the shape of everything in it."""

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        n.meta["made"] = list(value.shape) if isinstance(value, Tensor) else None
        return value


def runs(plan: Plan, model: graph.Model, point: Point) -> tuple[np.ndarray, float]:
    """(the output in float64, how far float32 is from it) at one size; every node makes the type that the plan says."""
    inputs = parity.inputs_at(plan, point.sizes, step=1)
    double = graph.build(plan, dtype=torch.float64).eval()
    double.load_state_dict({name: tensor.double() for name, tensor in model.state_dict().items()})
    recorder = Recorder(double, garbage_collect_values=False)
    with torch.no_grad():
        exact: Tensor = recorder.run(
            *(torch.from_numpy(x).to(torch.float64 if x.ndim > 1 else None) for x in inputs.values())
        )
        single = model(*map(torch.from_numpy, inputs.values()))
    assert exact.isfinite().all()
    made = {n.name: n.meta["made"] for n in double.graph.nodes}
    for node in plan:
        assert made[node.name] == [size.evaluate(dict(point.sizes)) for size in node.out.shape], node.name
    return exact.numpy(), float((single.double() - exact).abs().max())


def exports(
    plan: Plan, model: graph.Model, flavour: str, at: list[Point], wanted: dict[str, tuple[np.ndarray, float]],
    folder: Path,
) -> None:  # fmt: skip
    layout = store.layout_of(plan, model)
    with AlignedWriter(folder / "model.safetensors", layout) as writer:
        for name, tensor in model.state_dict().items():
            writer.write(name, tensor)
    (file,) = OnnxExporter(flavour).run(request_for(plan, model, shared=layout), folder)
    runner = OnnxExporter(flavour).runner(file)
    for point in at:
        inputs = parity.inputs_at(plan, point.sizes, step=1)
        (got,) = runner(inputs).values()
        exact, error = wanted[point.name]
        assert got.shape == exact.shape
        allowed = TIMES * max(error, FLOOR * float(np.abs(exact).max(initial=0.0)))
        assert float(np.abs(got - exact).max()) <= allowed, (flavour, point)
