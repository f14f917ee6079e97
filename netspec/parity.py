"""verify(): the same inputs through PyTorch and through an exported graph, at several sizes and timesteps."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, fx, nn

from netspec.bundle.manifest import ParityRow
from netspec.errors import Diagnostic, ParityError
from netspec.graph import Model
from netspec.plan import Node, Plan
from netspec.planner.points import Env, Point, fixed, points
from netspec.precision import FLOATS, PrecisionPlan
from netspec.target import Runner

# Largest difference allowed, relative to the largest output, where all is float32: a few hundred layers of sums in
# another order (measured: below 1e-5 for every shipped spec).
FP32_TOLERANCE = 1e-4
# Largest relative error of rounding one number: half a unit in the last of 24, 11 and 8 binary digits. Eight-bit layers
# round to a grid of 255 steps over a range of some eight standard deviations: sqrt(1/12) * 16 / 255 of one.
ROUNDOFF = {"fp32": 2**-24, "fp16": 2**-11, "bf16": 2**-8, "int8": 0.018, "fp8": 0.018, "int4": 0.09}
SIGMAS = 4  # roundings are independent, so they add up as a random walk; one of 16,000 such walks ends further out
# How far a runtime may be off, over what rounding the result of every part does to this very run in PyTorch: a runtime
# rounds weights and inner steps as well. Measured with the tiny specs: a median of 0.7 to 1.9, never more than 4.6.
SLACK = 8
# PyTorch's threads decide the order of sums, so the last digits, and manifests shall be equal to the byte: their number
# is that of the network, not of the machine. A small network's threads would only wait for each other.
SMALL_MACS = 1e9
BUDGET_MACS = 2e12  # of one run of all points: about a minute on two cores
MANY_STEPS_MACS = 1e11  # below this, `opt` is run at every timestep of interest
_NUMPY = {
    "float32": np.float32,
    "float16": np.float16,
    "float64": np.float64,
    "int64": np.int64,
    "int32": np.int32,
    "bool": np.bool_,
}


@dataclass(frozen=True)
class Outcome:
    """What was compared, and what the budget left out."""

    rows: tuple[ParityRow, ...]
    skipped: tuple[str, ...]


def verify(
    plan: Plan,
    model: Model,
    runner: Runner,
    *,
    precision: PrecisionPlan | None = None,
    target: str = "",
    tolerance: float | None = None,
    budget_macs: float = BUDGET_MACS,
    memory: float = float("inf"),
    progress: Callable[[str], None] = lambda text: None,
) -> Outcome:
    """Compare `model` with an exported graph of it.

    At `opt` every timestep of interest is tried (one where a run is dear), elsewhere one each. Points beyond the budget
    of multiply-accumulates, or whose activations do not fit into `memory` bytes, are left out and named; the cheapest
    that fits always runs. Raises ParityError with the first node that diverges.
    """
    rows: list[ParityRow] = []
    trial = _Trial(
        plan, model, runner, precision, "fp32" if precision is None else precision.name,
        tolerance_of(precision) if tolerance is None else tolerance, tolerance is None, target,
    )  # fmt: skip
    found = points(plan)
    fitting = [point for point in found if activation_bytes(point) <= memory]
    todo, skipped = _affordable(fitting, budget_macs)
    skipped += [point for point in found if point not in fitting]
    with _threads(1 if all(point.macs < SMALL_MACS for point in todo) else 2):
        for point in todo:
            for step in _steps(plan, point):
                progress(f"{point.name} {_text(point.sizes)}")
                rows += _compare(trial, point, step)
    return Outcome(tuple(rows), tuple(f"{point.name} ({_text(point.sizes)})" for point in skipped))


def tolerance_of(precision: PrecisionPlan | None) -> float:
    """How far outputs may be apart at most, relative to the largest: every part of the network rounds its weights and
    its results in its own precision, and the outputs are rounded in the target's."""
    if precision is None or precision.uses == {"fp32"}:
        return FP32_TOLERANCE
    roundings = ROUNDOFF[precision.base] ** 2
    roundings += sum(2 * ROUNDOFF[part.dtype] ** 2 for part in precision.parts.values() if part.weights)
    return max(FP32_TOLERANCE, float(f"{SIGMAS * math.sqrt(roundings):.2g}"))


@dataclass(frozen=True)
class _Trial:
    """What is compared with what, and how closely: at most by `tolerance`, and where it is `derived`, by what rounding
    does to the very run."""

    plan: Plan
    model: Model
    runner: Runner
    precision: PrecisionPlan | None
    dtype: str
    tolerance: float
    derived: bool
    target: str


def example(
    plan: Plan, model: Model, precision: PrecisionPlan, sizes: Env
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """One run at given sizes: inputs as a graph of that precision holds them, in float32, and PyTorch's outputs."""
    macs = fixed(plan, sizes).cost.macs
    inputs = _rounded(inputs_at(plan, sizes, 3), precision, plan)
    with _threads(1 if macs < SMALL_MACS else 2):
        outputs = [output.numpy() for output in _torch(model, inputs)]
    return inputs, dict(zip(plan.outputs, outputs, strict=True))


def activation_bytes(point: Point) -> int:
    """A generous estimate of what both backends take beside the weights: a few copies of what is alive at once."""
    return 8 * 4 * point.elements


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _affordable(found: Sequence[Point], budget: float) -> tuple[list[Point], list[Point]]:
    """Points in order of cost as long as the budget lasts; and the rest."""
    todo: list[Point] = []
    skipped: list[Point] = []
    for point in sorted(found, key=lambda point: point.macs):
        if todo and point.macs > budget:
            skipped.append(point)
        else:
            todo.append(point)
            budget -= point.macs
    return todo, skipped


def _steps(plan: Plan, point: Point) -> Sequence[int]:
    """Indices into every embedding's values of interest: all of them at `opt` where that is cheap, one elsewhere."""
    count = max((len(rule.probes) for rule in plan.spec.conditioning.values()), default=1)
    if point.name == "opt" and point.macs < MANY_STEPS_MACS:
        return range(count)
    return [{"min": 0, "max": 1, "odd": 2, "opt": 3}[point.name] % count]


def _compare(trial: _Trial, point: Point, step: int) -> Iterator[ParityRow]:
    """One row for each output."""
    plan = trial.plan
    inputs = _rounded(inputs_at(plan, point.sizes, step), trial.precision, plan)
    made = trial.runner(inputs)
    several = len(plan.spec.outputs) > 1
    outputs = [output.double().numpy() for output in _torch(trial.model, inputs)]
    for name, wanted, tolerance in zip(plan.outputs, outputs, _tolerances(trial, inputs, outputs), strict=True):
        max_abs, max_rel = difference(wanted, np.asarray(made[name], dtype=np.float64))
        passed = max_rel <= tolerance
        row = ParityRow(
            dict(point.sizes), _timestep(plan, step), trial.dtype, max_abs, max_rel, tolerance, passed,
            name if several else "", trial.target,
        )  # fmt: skip
        if not passed:
            raise ParityError(_diverged(trial, inputs, row))
        yield row


def _tolerances(trial: _Trial, inputs: Mapping[str, np.ndarray], wanted: Sequence[np.ndarray]) -> list[float]:
    """How far each output may be off in this run: `SLACK` times what half precisions do to it in PyTorch. What few
    bits do is for their exporter to say."""
    precision = trial.precision
    if precision is None or not trial.derived or precision.quantised or precision.uses == {"fp32"}:
        return [trial.tolerance] * len(wanted)
    base = FLOATS[precision.base]
    with _rounding_results(trial.model, precision):
        rounded = [output.to(base).double().numpy() for output in _torch(trial.model, inputs)]
    errors = (difference(one, other)[1] for one, other in zip(wanted, rounded, strict=True))
    return [max(FP32_TOLERANCE, min(trial.tolerance, float(f"{SLACK * error:.2g}"))) for error in errors]


@contextmanager
def _rounding_results(model: Model, precision: PrecisionPlan) -> Iterator[None]:
    """Every part of the network returns numbers of its own precision, still in float32."""

    def rounding(dtype: torch.dtype) -> Callable[[nn.Module, object, object], object]:
        def rounded(module: nn.Module, given: object, made: object) -> object:
            if isinstance(made, Tensor) and made.is_floating_point():
                return made.to(dtype).to(made.dtype)
            return made

        return rounded

    halves = ((module, precision.float_at(path)) for path, module in model.named_modules() if path)
    hooks = [module.register_forward_hook(rounding(dtype)) for module, dtype in halves if dtype != torch.float32]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def difference(wanted: np.ndarray, got: np.ndarray) -> tuple[float, float]:
    """How far two outputs are apart: the largest difference, and the same relative to the largest wanted number.
    Infinite where a shape differs or a number is not finite."""
    if wanted.shape != got.shape or not np.isfinite(got).all() or not np.isfinite(wanted).all():
        return math.inf, math.inf
    max_abs = float(np.abs(wanted - got).max(initial=0.0))
    scale = float(np.abs(wanted).max(initial=0.0))
    return max_abs, max_abs / scale if scale else max_abs


def _rounded(inputs: dict[str, np.ndarray], precision: PrecisionPlan | None, plan: Plan) -> dict[str, np.ndarray]:
    """Inputs as the exported graph can hold them, in float32: both sides shall see the same numbers."""
    if precision is None or precision.base == "fp32":
        return inputs
    base = FLOATS[precision.base]
    return {
        name: x if plan.inputs[name].dtype else torch.from_numpy(x).to(base).float().numpy()
        for name, x in inputs.items()
    }


def inputs_at(plan: Plan, sizes: Env, step: int = 0) -> dict[str, np.ndarray]:
    """Inputs of one run: noise for images, tokens and vectors, the `step`-th value of interest for embedded indices;
    masks hide the end of each sample's tokens, never all of them."""
    generator = np.random.default_rng(step)
    made: dict[str, np.ndarray] = {}
    for name, type_ in plan.inputs.items():
        shape = tuple(int(size.evaluate(dict(sizes))) for size in type_.shape)
        dtype = _NUMPY[type_.dtype or "float32"]
        rule = plan.spec.conditioning.get(plan.spec.embedded.get(name, ""))
        if rule is not None and type_.layout == "index":
            made[name] = np.full(shape, rule.probes[step % len(rule.probes)], dtype=dtype)
        elif type_.layout == "mask":
            seen = generator.integers(1, shape[1] + 1, size=(shape[0], 1))
            made[name] = (np.arange(shape[1]) < seen).astype(dtype)
        else:
            made[name] = generator.standard_normal(shape).astype(dtype)
    return made


def _torch(model: Model, inputs: Mapping[str, np.ndarray]) -> list[Tensor]:
    """Every output, in the plan's order."""
    with torch.no_grad():
        made = model(*_tensors(model, inputs))
    return [output.float() for output in (made if isinstance(made, tuple) else (made,))]


def _tensors(model: Model, inputs: Mapping[str, np.ndarray]) -> list[Tensor]:
    """The inputs as tensors; in the model's precision where the plan does not say another."""
    dtype = next((p.dtype for p in model.parameters()), torch.float32)
    tensors = {name: torch.from_numpy(array) for name, array in inputs.items()}
    return [x if model.plan.inputs[name].dtype else x.to(dtype) for name, x in tensors.items()]


def is_blank(plan: Plan, model: Model) -> bool:
    """Whether some output is nothing but zeros, at the cheapest point: then equality would prove nothing."""
    cheapest = min(points(plan), key=lambda point: point.macs)
    return not all(output.any() for output in _torch(model, inputs_at(plan, cheapest.sizes)))


def _timestep(plan: Plan, step: int) -> float | None:
    rules = plan.spec.conditioning.values()
    return next((float(rule.probes[step % len(rule.probes)]) for rule in rules if 1 in rule.ranks), None)


class _Recorder(fx.Interpreter):
    """Runs a model and keeps what every node of the plan returned."""

    def __init__(self, model: Model) -> None:
        super().__init__(model, garbage_collect_values=False)
        self.made: dict[str, Tensor] = {}

    def run_node(self, n: fx.Node) -> object:
        value = super().run_node(n)
        if isinstance(value, Tensor):
            self.made[n.name] = value
        return value


def _diverged(trial: _Trial, inputs: Mapping[str, np.ndarray], row: ParityRow) -> Diagnostic:
    """The first node whose values differ, with its place in the spec, and how the error grows from node to node."""
    plan = trial.plan
    errors = node_errors(plan, trial.model, trial.runner, inputs)
    at = f"tolerance {row.tolerance:g} at {_text(row.sizes)}, timestep {row.timestep}"
    first = next((index for index, (_, error) in enumerate(errors) if error > row.tolerance), None)
    if first is None:
        return Diagnostic(
            "NS701",
            f"the exported graph gives other numbers: max |Δ| {row.max_abs:.3g}, "
            f"{row.max_rel:.3g} of the largest value",
            notes=(at, *_table(errors, len(errors)), "no single node exceeds it"),
        )
    node = errors[first][0]
    return Diagnostic(
        "NS701",
        f"the exported graph gives other numbers from `{node.name}` on: "
        f"max |Δ| {row.max_abs:.3g} in the output, {row.max_rel:.3g} of its largest value",
        plan.spec.place(node.origin.path).value,
        f"{node.component.name}",
        notes=(at, *_table(errors, first)),
        help=("this is a fault of the exporter, not of the spec: please report it with the spec",),
        path=str(node.origin),
    )


def node_errors(plan: Plan, model: Model, runner: Runner, inputs: Mapping[str, np.ndarray]) -> list[tuple[Node, float]]:
    """The relative error of every node's value that the exported graph still has, in the plan's order."""
    recorder = _Recorder(model)
    with torch.no_grad():
        recorder.run(*_tensors(model, inputs))
    values = runner(inputs, [node.name for node in plan])
    return [(node, difference(wanted, got)[1]) for node, wanted, got in _pairs(plan, recorder.made, values)]


def _table(errors: Sequence[tuple[Node, float]], around: int) -> tuple[str, ...]:
    """A line per node up to the one that matters, and two after it."""
    shown = errors[max(0, around - 5) : around + 3]
    return tuple(f"{node.name:<24} {error:.1e}" for node, error in shown)


def _pairs(
    plan: Plan, made: Mapping[str, Tensor], values: Mapping[str, np.ndarray]
) -> Iterator[tuple[Node, np.ndarray, np.ndarray]]:
    for node in plan:
        if node.name in values:
            yield node, made[node.name].double().numpy(), np.asarray(values[node.name], dtype=np.float64)


def _text(sizes: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {size}" for name, size in sizes.items()) or "fixed sizes"
